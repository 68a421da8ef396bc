// words.ts - says in words what a part of an expression does with its series.

import type { Grouping, Matcher, Matching, Part } from '../editor/syntax'

const results: Record<string, string> = {
  '+': 'adds the values of both sides',
  '-': 'subtracts the right value from the left one',
  '*': 'multiplies the values of both sides',
  '/': 'divides the left value by the right one',
  '%': 'takes the remainder of the left value divided by the right one',
  '^': 'raises the left value to the power of the right one',
  atan2: 'takes the angle of the left value over the right one, in radians',
  '==': 'is equal to',
  '!=': 'differs from',
  '<': 'is less than',
  '<=': 'is at most',
  '>': 'is greater than',
  '>=': 'is at least',
}

const aggregations: Record<string, string> = {
  sum: 'adds the values',
  avg: 'takes the mean of the values',
  min: 'takes the minimum of the values',
  max: 'takes the maximum of the values',
  count: 'counts the series',
  group: 'returns 1',
  stddev: 'takes the standard deviation of the values',
  stdvar: 'takes the variance of the values',
  topk: 'leaves the series with the highest values',
  bottomk: 'leaves the series with the lowest values',
  quantile: 'takes a quantile of the values',
  count_values: 'counts the series of each value',
  limitk: 'leaves some of the series',
  limit_ratio: 'leaves a share of the series',
}

function list(names: string[]): string {
  return names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`
}

function matched(m: Matching): string {
  if (m.isOn && m.labels.length === 0) return 'All series match, because no label is compared'
  if (m.isOn) return `Series match if they have the same ${list(m.labels)}`
  if (m.labels.length === 0) return 'Series match if all their labels are the same'
  return `Series match if all their labels but ${list(m.labels)} are the same`
}

function partners(m: Matching): string {
  if (m.many === null) return 'a series has at most one partner'
  const one = m.many === 'left' ? 'right' : 'left'
  const copied = m.included.length === 0 ? '' : ` and get its ${list(m.included)}`
  return `several series of the ${m.many} side may have the same partner on the ${one} side${copied}`
}

/** Describes a binary operator; `scalars` says which sides are single numbers. */
function operator(name: string, m: Matching, scalars: [boolean, boolean]): string {
  if (name === 'and') return `${matched(m)}. The series of the left side that have a partner stay.`
  if (name === 'unless') return `${matched(m)}. The series of the left side that have no partner stay.`
  if (name === 'or') return `${matched(m)}. To the series of the left side come those of the right side that have no partner.`
  const result = results[name]
  if (result === undefined) return ''
  const isComparison = /[=<>]/.test(name)
  const [left, right] = [scalars[0] ? 'the number' : 'its value', scalars[1] ? 'the number' : scalars[0] ? 'its value' : 'that of its partner']
  const kept = m.isBool ? `The result is 1 where ${left} ${result} ${right}, and 0 elsewhere.` : `A series stays where ${left} ${result} ${right}.`
  const does = isComparison ? kept : `It ${result}.`
  if (scalars[0] && scalars[1]) return does
  if (scalars[0] || scalars[1]) return `For each series of the ${scalars[0] ? 'right' : 'left'} side: ${does.charAt(0).toLowerCase()}${does.slice(1)}`
  const isReduced = m.isOn && m.labels.length > 0 && m.many === null && (!isComparison || m.isBool)
  const labels = isReduced ? ` The result has no labels but ${list(m.labels)}.` : ''
  return `${matched(m)}; ${partners(m)}. ${does}${labels} Series without a partner are left out.`
}

function groups(g: Grouping): string {
  if (g.isBy && g.labels.length === 0) return 'Over all series'
  if (!g.isBy && g.labels.length === 0) return 'For the series that have the same labels'
  return g.isBy ? `For the series that have the same ${list(g.labels)}` : `For the series that have the same labels but ${list(g.labels)}`
}

const comparisons: Record<string, string> = { '=': 'is', '!=': 'is not', '=~': 'matches', '!~': 'does not match' }

function selector(matchers: Matcher[], isOfRanges: boolean): string {
  const metric = matchers.find(m => m.label === '__name__' && m.operator === '=')
  const rest = matchers.filter(m => m !== metric)
  const from = metric === undefined ? 'Series of any metric' : `Series of the metric ${metric.value.slice(1, -1)}`
  const where = rest.length === 0 ? '' : ` whose ${list(rest.map(m => `${m.label} ${comparisons[m.operator] ?? m.operator} ${m.value}`))}`
  return `${from}${where}: ${isOfRanges ? 'all samples of the range' : 'the last sample of each'}.`
}

/** Returns an empty text for parts that need no explanation. */
export function wordsOf(p: Part, isScalar: (p: Part) => boolean, isOfRanges: (p: Part) => boolean): string {
  const [left, right] = p.children
  if (p.matchers.length > 0) return selector(p.matchers, isOfRanges(p))
  if (p.matching !== null && left !== undefined && right !== undefined) return operator(p.name, p.matching, [isScalar(left), isScalar(right)])
  if (p.about !== '') return `${p.about}.`
  const aggregation = aggregations[p.name.toLowerCase()]
  return p.grouping !== null && aggregation !== undefined ? `${groups(p.grouping)}: ${aggregation}.` : ''
}
