/** Line icons, 16 px, drawn for this product. */
import type { JSX } from 'preact'

const PATHS = {
  fleet: 'M2.500 2.500h4.250v4.250H2.500zM9.250 2.500h4.250v4.250H9.250zM2.500 9.250h4.250v4.250H2.500zM9.250 9.250h4.250v4.250H9.250z',
  incidents: 'M8 2.300 14.200 13.300H1.800zM8 6.300v3.200M8 11.200v.4',
  silences: 'M3.500 11.500h9M4.800 11.300V7.200a3.200 3.200 0 0 1 6.400 0v4.100M6.800 13.700h2.400M2.500 2.500l11 11',
  rules: 'M3 2.500h10M3 13.500h10M8 2.500v11M4.500 5.500 2.500 10h4zM11.500 5.500 9.500 10h4z',
  explore: 'M2.500 2.500v11h11M4.500 10.800l3-3.600 2.400 1.800 3.600-5',
  changes: 'M2.500 5h9.500M9.500 2.300 12.200 5 9.500 7.700M13.500 11H4M6.500 8.300 3.800 11l2.700 2.700',
  load: 'M1.800 9.500c1.600-5.500 3.200-5.500 4.700 0s3.100 5.500 4.700 0c.8-2.700 1.900-4 3-4',
  checklists: 'M2.500 4.300l1 1L5.500 3M2.500 11.300l1 1 2-2.300M8 4.500h5.500M8 11.500h5.500',
  scenarios: 'M2.500 3.500h4v4h-4zM9.500 8.500h4v4h-4zM6.500 5.500h3.200a1.800 1.800 0 0 1 1.800 1.800v1.200M4.500 7.500v3.200a1.800 1.800 0 0 0 1.800 1.800h3.200',
  diary: 'M3.500 2.500h9v11h-9zM3.500 10.800h9M6 5.300h4M6 7.500h2.500',
  oncall: 'M4.300 2.500h2l1 3-1.500 1.200a7 7 0 0 0 3.500 3.500l1.200-1.500 3 1v2a1.500 1.500 0 0 1-1.600 1.500A10.200 10.200 0 0 1 2.800 4.100 1.500 1.500 0 0 1 4.300 2.500z',
  screen: 'M2 3h12v8H2zM6 13.500h4M8 11v2.500',
  print: 'M4.500 6V2.500h7V6M4.500 11.500h-2V6h11v5.500h-2M4.500 9.500h7v4h-7z',
  more: 'M3 7.500h.7v.7H3zM7.700 7.500h.7v.7h-.7zM12.400 7.500h.7v.7h-.7z',
  access: 'M10.300 2a3.700 3.700 0 1 1-2.100 6.700L3.500 13.400H2v-2l.9-.9h1.500V9l2.500-2.500A3.700 3.700 0 0 1 10.300 2zM10.900 5.100v.01',
  settings: 'M2 4.500h6.500M12.500 4.500H14M10.500 2.700v3.600M2 11.500h1.500M7.500 11.500H14M5.500 9.700v3.600',
  search: 'M7.200 2.200a5 5 0 1 1 0 10 5 5 0 0 1 0-10zM10.900 10.900 14 14',
  sun: 'M8 5.200a2.800 2.800 0 1 1 0 5.600 2.800 2.800 0 0 1 0-5.600zM8 1.500v1M8 13.500v1M1.500 8h1M13.500 8h1M3.400 3.400l.7.7M11.900 11.900l.7.7M3.400 12.600l.7-.7M11.900 4.100l.7-.7',
  moon: 'M13.300 9.700A5.600 5.600 0 0 1 6.300 2.700a5.600 5.600 0 1 0 7 7z',
  user: 'M8 2.500a2.700 2.700 0 1 1 0 5.400 2.700 2.700 0 0 1 0-5.400zM2.700 13.500a5.300 5.300 0 0 1 10.600 0',
  out: 'M6.500 2.500h-4v11h4M10 5l3 3-3 3M13 8H6',
  copy: 'M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3',
  check: 'M3 8.500 6.500 12 13 4.500',
  close: 'M4 4l8 8M12 4l-8 8',
  plus: 'M8 3v10M3 8h10',
  down: 'M4.500 6.500 8 10l3.500-3.500',
  table: 'M2.500 3.500h11v9h-11zM2.500 6.500h11M6.500 6.500v6',
  pause: 'M5.500 3.500v9M10.500 3.500v9',
  play: 'M5 3.200v9.600L12.500 8z',
  link: 'M6.500 9.500 9.500 6.500M7.500 4.500l1.800-1.800a2.800 2.800 0 0 1 4 4L11.500 8.500M8.500 11.500l-1.800 1.800a2.800 2.800 0 0 1-4-4L4.500 7.500',
  server: 'M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5v.01M5 11v.01',
  back: 'M9.500 3.500 5 8l4.500 4.500',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, size = 16 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

/** The tower. */
export function Tower({ size = 18 }: { size?: number }): JSX.Element {
  return (
    <svg width={size} height={size} viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" aria-hidden="true">
      <path d="M4 2h2.300v1.900h1.600V2h2.200v1.900h1.600V2H14v4.300l-1.400 1.400V16H5.400V7.700L4 6.300z" />
      <path d="M7.600 16v-3a1.400 1.400 0 0 1 2.800 0v3" />
    </svg>
  )
}
