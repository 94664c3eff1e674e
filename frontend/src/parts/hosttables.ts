/** What a host's processes, services, disks, network, containers and agent are asked for, and how the
 * answers become rows. Pure. */
import type { PartName } from './hostpart'

export interface TableColumn {
  id: string
  /** A unit of `quantity`, `state` (a label's word), or `yes` (1 or 0). */
  unit: string
  /** PromQL; $i stands for the matcher of the host. */
  expr: string
  /** The labels that name the row, where the table's are called otherwise here. */
  by?: readonly string[]
  /** Of `state`: which label's value is shown. */
  show?: string
}

export interface HostTable {
  id: string
  /** The labels that name a row; none: one row for the host. */
  by: readonly string[]
  columns: readonly TableColumn[]
}

const SPAN = '[30s]'
const rate = (name: string, more = ''): string => `rate(${name}{$i${more}}${SPAN})`
const DISKS = ',device!~"(loop|ram|zram|fd|sr)[0-9]*"'
const FILES = ',fstype!~"tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|nsfs|autofs|fuse.*"'
const SERVICE = ',container="",unit=~".+[.]service"'
const CONTAINER = ',container!=""'
const group = (by: string, expr: string): string => `sum by (${by}) (${expr})`

function groups(by: string, more: string): TableColumn[] {
  return [
    { id: 'cpu', unit: '%', expr: group(by, `100 * ${rate('vezha_cgroup_cpu_usage_seconds_total', more)}`) },
    { id: 'memory', unit: 'ram', expr: group(by, `vezha_cgroup_memory_anon_bytes{$i${more}}`) },
    { id: 'read', unit: 'bytes/s', expr: group(by, rate('vezha_cgroup_io_read_bytes_total', more)) },
    { id: 'written', unit: 'bytes/s', expr: group(by, rate('vezha_cgroup_io_written_bytes_total', more)) },
    { id: 'pids', unit: '', expr: group(by, `vezha_cgroup_pids{$i${more}}`) },
    { id: 'oom', unit: '', expr: group(by, `vezha_cgroup_memory_oom_kills_total{$i${more}}`) },
  ]
}

export const TABLES: Record<PartName, readonly HostTable[]> = {
  processes: [
    {
      id: 'processes',
      by: ['comm', 'unit'],
      columns: [
        { id: 'cpu', unit: '%', expr: `100 * ${rate('vezha_process_cpu_seconds_total')}` },
        { id: 'memory', unit: 'ram', expr: 'vezha_process_resident_memory_bytes{$i}' },
        { id: 'count', unit: '', expr: 'vezha_process_count{$i}' },
        { id: 'threads', unit: '', expr: 'vezha_process_threads{$i}' },
      ],
    },
    { id: 'watched', by: ['name'], columns: [{ id: 'alive', unit: 'yes', expr: 'vezha_watched_process_up{$i}' }] },
    {
      id: 'kernel',
      by: [],
      columns: [
        { id: 'count', unit: '', expr: 'node_processes_pids{$i}' },
        { id: 'threads', unit: '', expr: 'node_processes_threads{$i}' },
        { id: 'running', unit: '', expr: 'node_procs_running{$i}' },
        { id: 'blocked', unit: '', expr: 'node_procs_blocked{$i}' },
        { id: 'forks', unit: '/s', expr: rate('node_forks_total') },
      ],
    },
  ],
  services: [
    {
      id: 'services',
      by: ['unit'],
      columns: [{ id: 'state', unit: 'state', show: 'state', by: ['name'], expr: 'node_systemd_unit_state{$i,name=~".+[.]service"} == 1' }, ...groups('unit', SERVICE)],
    },
  ],
  disks: [
    {
      id: 'filesystems',
      by: ['mountpoint'],
      columns: [
        { id: 'used', unit: '%', expr: `100 - 100 * node_filesystem_avail_bytes{$i${FILES}} / (node_filesystem_size_bytes{$i${FILES}} > 0)` },
        { id: 'free', unit: 'bytes', expr: `node_filesystem_avail_bytes{$i${FILES}}` },
        { id: 'size', unit: 'bytes', expr: `node_filesystem_size_bytes{$i${FILES}}` },
        { id: 'inodes', unit: '%', expr: `100 - 100 * node_filesystem_files_free{$i${FILES}} / (node_filesystem_files{$i${FILES}} > 0)` },
        { id: 'readonly', unit: 'yes', expr: `node_filesystem_readonly{$i${FILES}}` },
      ],
    },
    {
      id: 'devices',
      by: ['device'],
      columns: [
        { id: 'busy', unit: '%', expr: `100 * ${rate('node_disk_io_time_seconds_total', DISKS)}` },
        { id: 'read', unit: 'bytes/s', expr: rate('node_disk_read_bytes_total', DISKS) },
        { id: 'written', unit: 'bytes/s', expr: rate('node_disk_written_bytes_total', DISKS) },
        { id: 'readTime', unit: 'seconds', expr: `${rate('node_disk_read_time_seconds_total', DISKS)} / (${rate('node_disk_reads_completed_total', DISKS)} > 0)` },
        { id: 'writeTime', unit: 'seconds', expr: `${rate('node_disk_write_time_seconds_total', DISKS)} / (${rate('node_disk_writes_completed_total', DISKS)} > 0)` },
        { id: 'queue', unit: '', expr: `node_disk_io_now{$i${DISKS}}` },
      ],
    },
  ],
  network: [
    {
      id: 'interfaces',
      by: ['device'],
      columns: [
        { id: 'up', unit: 'yes', expr: 'node_network_up{$i}' },
        { id: 'in', unit: 'bits/s', expr: `8 * ${rate('node_network_receive_bytes_total')}` },
        { id: 'out', unit: 'bits/s', expr: `8 * ${rate('node_network_transmit_bytes_total')}` },
        { id: 'speed', unit: 'bits/s', expr: '8 * node_network_speed_bytes{$i} > 0' },
        { id: 'errors', unit: '/s', expr: `${rate('node_network_receive_errs_total')} + ${rate('node_network_transmit_errs_total')}` },
        { id: 'drops', unit: '/s', expr: `${rate('node_network_receive_drop_total')} + ${rate('node_network_transmit_drop_total')}` },
      ],
    },
    { id: 'connections', by: ['state'], columns: [{ id: 'count', unit: '', expr: 'node_tcp_connection_states{$i} > 0' }] },
  ],
  containers: [{ id: 'containers', by: ['container'], columns: groups('container', CONTAINER) }],
  agent: [
    {
      id: 'agent',
      by: [],
      columns: [
        { id: 'complete', unit: 'share', expr: '100 * vezha_agent_completeness_ratio{$i}' },
        { id: 'behind', unit: 'seconds', expr: 'vezha_agent_behind_seconds{$i}' },
        { id: 'backlog', unit: '', expr: 'vezha_agent_backlog_frames{$i}' },
        { id: 'dropped', unit: '', expr: 'vezha_agent_dropped_frames_total{$i}' },
        { id: 'clock', unit: 'seconds', expr: 'abs(vezha_agent_clock_offset_seconds{$i})' },
        { id: 'missed', unit: '', expr: 'vezha_agent_ticks_missed_total{$i}' },
        { id: 'connects', unit: '', expr: 'vezha_agent_connects_total{$i}' },
        { id: 'cpu', unit: '%', expr: `100 * ${rate('vezha_agent_cpu_seconds_total')}` },
        { id: 'memory', unit: 'ram', expr: 'vezha_agent_resident_memory_bytes{$i}' },
        { id: 'off', unit: '', expr: 'vezha_agent_collectors_off{$i}' },
      ],
    },
    {
      id: 'collectors',
      by: ['collector'],
      columns: [
        { id: 'time', unit: 'seconds', expr: 'node_scrape_collector_duration_seconds{$i}' },
        { id: 'works', unit: 'yes', expr: 'node_scrape_collector_success{$i}' },
        { id: 'failures', unit: '', expr: 'vezha_agent_collector_errors_total{$i}' },
      ],
    },
  ],
}

/** The expression of a column for one host. */
export function exprOf(column: TableColumn, host: string): string {
  return column.expr.replaceAll('$i', `instance=${JSON.stringify(host)}`)
}

export interface Sample {
  metric: Record<string, string>
  value: [number, string]
}

export interface TableRow {
  name: string[]
  /** By column: a number, a word, or nothing. */
  cells: (number | string | null)[]
}

/** Answers, one a column, as rows; the largest of the first numeric column first, then by name. */
export function rowsOf(table: HostTable, answers: readonly (readonly Sample[])[]): TableRow[] {
  const rows = new Map<string, TableRow>()
  table.columns.forEach((column, at) => {
    for (const sample of answers[at] ?? []) {
      const name = (column.by ?? table.by).map((label) => sample.metric[label] ?? '')
      // What has no name of its own is what nothing else claims; it is no row.
      if (table.by.length > 0 && name.every((n) => n === '')) continue
      const key = name.join('\u0000')
      let row = rows.get(key)
      if (!row) rows.set(key, (row = { name, cells: table.columns.map(() => null) }))
      const value = Number(sample.value[1])
      row.cells[at] = column.unit === 'state' ? (sample.metric[column.show!] ?? null) : Number.isFinite(value) ? value : null
    }
  })
  const first = table.columns.findIndex((c) => c.unit !== 'state' && c.unit !== 'yes')
  const size = (row: TableRow): number => (first >= 0 && typeof row.cells[first] === 'number' ? (row.cells[first] as number) : -1)
  return [...rows.values()].sort((a, b) => size(b) - size(a) || a.name.join().localeCompare(b.name.join()))
}
