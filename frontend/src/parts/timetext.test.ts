import { expect, it } from 'vitest'
import { tidyMoment, tidyTime } from './timetext'

it.each([
  ['9:05', '09:05'],
  ['905', '09:05'],
  ['0905', '09:05'],
  ['23.59', '23:59'],
  [' 7:30 ', '07:30'],
  ['24:00', '24:00'],
  ['9:5', '9:5'],
  ['11 PM', '11 PM'],
])('the time %s is %s', (typed, meant) => {
  expect(tidyTime(typed)).toBe(meant)
})

it.each([
  ['2026-11-23 9:05', '2026-11-23T09:05'],
  ['2026-1-3 0905', '2026-01-03T09:05'],
  ['2026-11-23T09:05', '2026-11-23T09:05'],
  ['2026-11-23 9', '2026-11-23T9'],
  ['soon', 'soon'],
])('the moment %s is %s', (typed, meant) => {
  expect(tidyMoment(typed)).toBe(meant)
})
