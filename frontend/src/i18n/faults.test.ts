import { expect, it } from 'vitest'
import { inUkrainian } from './faults'
import uk from './uk.fault.json'

it.each([
  ['A silence must end after it starts, and in the future.', 'Тиша має скінчитися після початку і в майбутньому.'],
  ['Receiver mail: port must be a whole number from 1 to 65535.', 'Отримувач mail: port має бути цілим числом від 1 до 65535.'],
  ['Route 2: match: "what" is not a matcher; write for example instance="db-1".', 'Маршрут 2: умова: «what» не умова; напишіть, наприклад, instance="db-1".'],
  ['The field name is missing.', 'Поле name: бракує.'],
  ['Receiver mail: rate must be one of en, uk.', 'Отримувач mail: rate має бути: одне з en, uk.'],
  ['Schedule week: layer night: people must name at least one person.', 'Розклад week: шар night: потрібна хоча б одна людина.'],
])('%s', (said, twin) => {
  expect(inUkrainian(said)).toBe(twin)
})

it('a sentence without a twin is shown as it is', () => {
  expect(inUkrainian('The moon is full: wait.')).toBe('The moon is full: wait.')
})

it('twins fill the same holes', () => {
  for (const [sentence, text] of Object.entries(uk)) {
    const holes = (s: string): string[] => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()
    expect(holes(text), sentence).toEqual(holes(sentence))
  }
})
