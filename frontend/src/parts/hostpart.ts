/** The parts of a host that have tables of their own, in their order. */
export const PARTS = ['processes', 'services', 'disks', 'network', 'containers', 'agent'] as const
export type PartName = (typeof PARTS)[number]
