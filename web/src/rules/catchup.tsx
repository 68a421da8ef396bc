// catchup.tsx - gaps of recording rules, and what is done about them.

import { count } from '../lib/format'
import { select, sum } from '../lib/metrics'
import type { Families } from '../lib/metrics'
import { numbered } from '../ui/page'
import { Notice } from '../ui/parts'

const words: Record<string, string> = {
  waits: 'waits for samples that senders have kept, before it evaluates what was missed',
  fills: 'evaluates what was missed',
}

/** Missed evaluations of a group. */
export function missedOf(metrics: Families | null, file: string, name: string): number {
  return metrics === null ? 0 : sum(metrics, 'firekeep_rule_group_iterations_missed_total', { rule_group: `${file};${name}` })
}

export function CatchUp(props: { metrics: Families }) {
  const m = props.metrics
  const busy = select(m, 'firekeep_rule_catch_up').filter(s => s.value === 1 && s.labels['state'] !== 'live')
  const filled = sum(m, 'firekeep_rule_evaluations_filled_total')
  const old = sum(m, 'firekeep_rule_evaluations_skipped_total', { reason: 'too_old' })
  const slow = sum(m, 'firekeep_rule_evaluations_skipped_total', { reason: 'too_slow' })
  const missed = sum(m, 'firekeep_rule_group_iterations_missed_total')
  const different = sum(m, 'firekeep_rule_results_different_total')
  return (
    <>
      {busy.map(s => (
        <Notice kind="warning">
          {s.labels['tenant'] === 'anonymous' ? 'The server' : `Tenant ${s.labels['tenant']}`} {words[s.labels['state'] ?? ''] ?? s.labels['state']}.
        </Notice>
      ))}
      <p class="costs">
        {numbered(missed, 'evaluation')} missed, {count(filled)} made later
        {old > 0 ? `, ${count(old)} too old` : ''}
        {slow > 0 ? `, ${count(slow)} given up because they took too long` : ''}
        {different > 0 ? `, ${count(different)} results not stored because another value is` : ''}
      </p>
    </>
  )
}
