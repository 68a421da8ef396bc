// syntax.ts - the parts of an expression with their text, found by the grammar of the editor.

import type { SyntaxNode } from '@lezer/common'
import { functionIdentifierTerms } from '@prometheus-io/codemirror-promql/dist/esm/complete/promql.terms'
import { parser } from '@prometheus-io/lezer-promql'

export interface Part {
  /** Name of the grammar: BinaryExpr, FunctionCall, VectorSelector, ... */
  kind: string
  text: string
  /** The operator, function or aggregation. */
  name: string
  /** What a function returns, as completion describes it; empty for other parts. */
  about: string
  /** What a selector compares: the metric first, as the label __name__; empty for other parts. */
  matchers: Matcher[]
  /** How a binary operator matches series; null for other parts. */
  matching: Matching | null
  /** How an aggregation forms its groups; null for other parts. */
  grouping: Grouping | null
  children: Part[]
}

/** A label, `=`, `!=`, `=~` or `!~`, and a text in its quotes. */
export interface Matcher {
  label: string
  operator: string
  value: string
}

export interface Matching {
  isOn: boolean
  labels: string[]
  /** The side of which several series may have the same partner. */
  many: 'left' | 'right' | null
  /** Labels that the result gets from the other side. */
  included: string[]
  /** A comparison that returns 0 or 1. */
  isBool: boolean
}

export interface Grouping {
  isBy: boolean
  labels: string[]
}

const expressions = new Set([
  'AggregateExpr',
  'AnchoredExpr',
  'BinaryExpr',
  'FunctionCall',
  'MatrixSelector',
  'NumberDurationLiteral',
  'OffsetExpr',
  'ParenExpr',
  'SmoothedExpr',
  'StepInvariantExpr',
  'StringLiteral',
  'SubqueryExpr',
  'UnaryExpr',
  'VectorSelector',
])
/** Parts that are shown with what they contain. */
const whole = new Set(['MatrixSelector', 'OffsetExpr', 'StepInvariantExpr', 'AnchoredExpr', 'SmoothedExpr'])

function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const found: SyntaxNode[] = []
  for (let c = node.firstChild; c !== null; c = c.nextSibling) found.push(c)
  return found
}

/** The expressions below a node, without what only groups or lists them. */
function expressionsBelow(node: SyntaxNode): SyntaxNode[] {
  return childrenOf(node).flatMap(c => (expressions.has(c.name) ? [c] : expressionsBelow(c)))
}

function labelsIn(node: SyntaxNode | null | undefined, text: string): string[] {
  return node == null ? [] : childrenOf(node).filter(c => /LabelName$/.test(c.name)).map(c => text.slice(c.from, c.to))
}

function matchingOf(node: SyntaxNode, text: string): Matching {
  const clause = node.getChild('MatchingModifierClause')
  const [labels, included] = clause?.getChildren('GroupingLabels') ?? []
  return {
    isOn: clause?.getChild('On') != null,
    labels: labelsIn(labels, text),
    many: clause?.getChild('GroupLeft') != null ? 'left' : clause?.getChild('GroupRight') != null ? 'right' : null,
    included: labelsIn(included, text),
    isBool: node.getChild('BoolModifier') !== null,
  }
}

/** Finds the selector of a part that is shown with what it contains. */
function selectorIn(node: SyntaxNode): SyntaxNode | null {
  if (node.name === 'VectorSelector') return node
  return whole.has(node.name) ? (childrenOf(node).map(selectorIn).find(n => n !== null) ?? null) : null
}

function matchersOf(node: SyntaxNode, text: string): Matcher[] {
  const selector = selectorIn(node)
  if (selector === null) return []
  const of = (n: SyntaxNode) => text.slice(n.from, n.to)
  const name = (value: string): Matcher => ({ label: '__name__', operator: '=', value })
  const metric = selector.getChild('Identifier')
  const labels = selector.getChild('LabelMatchers')
  return [
    ...(metric === null ? [] : [name(JSON.stringify(of(metric)))]),
    ...(labels === null ? [] : childrenOf(labels)).flatMap(m => {
      if (m.name === 'QuotedLabelName') return [name(of(m))]
      const [label, operator, value] = childrenOf(m)
      return value === undefined ? [] : [{ label: of(label!), operator: of(operator!), value: of(value) }]
    }),
  ]
}

function groupingOf(node: SyntaxNode, text: string): Grouping {
  const clause = node.getChild('AggregateModifier')
  return { isBy: clause?.getChild('Without') == null, labels: labelsIn(clause?.getChild('GroupingLabels'), text) }
}

function partOf(node: SyntaxNode, text: string): Part {
  if (node.name === 'ParenExpr') return partOf(expressionsBelow(node)[0]!, text)
  const below = expressionsBelow(node)
  const isBinary = node.name === 'BinaryExpr'
  // A literal has no parts, so its name is its text.
  const between = isBinary ? node.firstChild!.nextSibling! : (node.firstChild ?? node)
  // The texts in a selector are no parts. A selector below an offset or a modifier stays with it; any
  // other expression is a part.
  const isWhole = node.name === 'VectorSelector' || (whole.has(node.name) && below.every(b => b.name === 'VectorSelector' || whole.has(b.name)))
  const name = text.slice(between.from, between.to)
  return {
    kind: node.name,
    text: text.slice(node.from, node.to),
    name,
    about: node.name === 'FunctionCall' ? (functionIdentifierTerms.find(t => t.label === name)?.info ?? '') : '',
    matchers: isWhole ? matchersOf(node, text) : [],
    matching: isBinary ? matchingOf(node, text) : null,
    grouping: node.name === 'AggregateExpr' ? groupingOf(node, text) : null,
    children: isWhole ? [] : below.map(b => partOf(b, text)),
  }
}

/** Returns null for a text that is no expression of the grammar. */
export function partsOf(text: string): Part | null {
  const tree = parser.parse(text)
  let isSound = true
  tree.iterate({ enter: n => void (isSound &&= !n.type.isError) })
  const top = expressionsBelow(tree.topNode)
  return isSound && top.length === 1 ? partOf(top[0]!, text) : null
}
