// syntax.ts - the parts of an expression with their text, found by the grammar of the editor.

import type { SyntaxNode } from '@lezer/common'
import { parser } from '@prometheus-io/lezer-promql'

export interface Part {
  /** Name of the grammar: BinaryExpr, FunctionCall, VectorSelector, ... */
  kind: string
  text: string
  /** The operator, function or aggregation. */
  name: string
  /** How a binary operator matches series; null for other parts. */
  matching: Matching | null
  children: Part[]
}

export interface Matching {
  isOn: boolean
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

function matchingOf(node: SyntaxNode, text: string): Matching {
  const clause = node.getChild('MatchingModifierClause')
  const isOn = clause?.getChild('On') != null
  const labels = clause?.getChild('GroupingLabels')
  return { isOn, labels: labels == null ? [] : childrenOf(labels).filter(c => /LabelName$/.test(c.name)).map(c => text.slice(c.from, c.to)) }
}

function partOf(node: SyntaxNode, text: string): Part {
  if (node.name === 'ParenExpr') return partOf(expressionsBelow(node)[0]!, text)
  const below = expressionsBelow(node)
  const isBinary = node.name === 'BinaryExpr'
  const between = isBinary ? node.firstChild!.nextSibling! : node.firstChild!
  // A selector below an offset or a modifier stays with it; any other expression is a part.
  const isWhole = whole.has(node.name) && below.every(b => b.name === 'VectorSelector' || whole.has(b.name))
  return {
    kind: node.name,
    text: text.slice(node.from, node.to),
    name: text.slice(between.from, between.to),
    matching: isBinary ? matchingOf(node, text) : null,
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
