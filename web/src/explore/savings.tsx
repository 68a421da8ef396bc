// savings.tsx - how many series and bytes are saved if a metric, or one of its labels, is dropped
// before it is written, with the rule that does it.

import { useEffect, useState } from 'preact/hooks'
import { get } from '../lib/api'
import { serverNow } from '../lib/clock'
import { bytes, count, quote, seriesText } from '../lib/format'
import { useLoad } from '../ui/load'
import { Failure, Notice, Pick } from '../ui/parts'
import { Link } from '../ui/router'
import { useMay, useMayAct } from '../ui/session'
import { number } from './detail'

interface Sizes {
  exact: boolean
  bytes: number
  samples: number
}

interface Saved {
  series: number
  sizes: Sizes | null
}

/** Quotes a text for a regular expression in YAML. */
function pattern(text: string): string {
  return `'${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll("'", "''")}'`
}

/** The rule that drops a metric, or a label of it. */
export function ruleOf(metric: string, label: string): string {
  const begin = `write_relabel_configs:\n- source_labels: [__name__]\n  regex: ${pattern(metric)}\n`
  return begin + (label === '' ? '  action: drop\n' : `  target_label: ${quote(label)}\n  replacement: ''\n`)
}

function CopyButton(props: { text: string }) {
  const [done, setDone] = useState('')
  const copy = () => navigator.clipboard.writeText(props.text).then(
    () => setDone('copied'),
    () => setDone('select the text to copy it'),
  )
  useEffect(() => setDone(''), [props.text])
  return (
    <>
      <button type="button" disabled={navigator.clipboard === undefined} onClick={copy}>
        Copy the rule
      </button>{' '}
      <small role="status">{done}</small>
    </>
  )
}

export function Savings(props: { metric: string; span: number; series: number; labels: string[] }) {
  const { metric, span } = props
  const [label, setLabel] = useState('')
  const [load, send] = useLoad<Saved>()
  const maySeeSizes = useMay('admin', 'metrics')
  const mayDelete = useMayAct()
  const selector = seriesText({ __name__: metric })
  useEffect(() => {
    const without = /^[a-zA-Z_]\w*$/.test(label) ? label : quote(label)
    send(async signal => {
      const [left, sizes] = await Promise.all([
        label === '' ? 0 : number(`count(count without (${without}) (last_over_time(${selector}[${span}s])))`, serverNow(), signal),
        maySeeSizes ? get<Sizes>('api/v1/status/tsdb/bytes', { 'match[]': selector, limit: '1' }, signal) : null,
      ])
      return { series: props.series - (left ?? 0), sizes: sizes?.data ?? null }
    })
  }, [metric, span, label, props.series])
  const rule = ruleOf(metric, label)
  const choices = [{ id: '', label: 'the metric' }, ...props.labels.map(l => ({ id: l, label: `the label ${l}` }))]
  const saved = load.value
  const share = saved === null || props.series === 0 ? 0 : saved.series / props.series
  const isAbout = label !== '' || saved?.sizes?.exact === false
  return (
    <section aria-label="Savings" aria-busy={load.isLoading}>
      <h3>What dropping it saves</h3>
      <Pick label="Drop" choices={choices} value={label} onChange={setLabel} />
      {load.error !== null && <Failure error={load.error} />}
      {saved !== null && (
        <p>
          <b>{count(saved.series)}</b> of {count(props.series)} series
          {saved.sizes !== null && (
            <>
              , {isAbout && 'about '}
              <b>{bytes(saved.sizes.bytes * share)}</b> of {bytes(saved.sizes.bytes)} in parts
            </>
          )}
          .
        </p>
      )}
      {label !== '' && saved !== null && saved.series > 0 && (
        <Notice kind="warning">Series that differ in this label only become one: of samples with the same time, one is stored and the others are refused.</Notice>
      )}
      <pre tabIndex={0} aria-label="Rule for remote_write of Prometheus">
        {rule}
      </pre>
      <p>
        <CopyButton text={rule} />
        {maySeeSizes && (
          <>
            {' '}
            <Link to="tools" values={new URLSearchParams({ series: selector, rules: rule })}>
              Try it
            </Link>
          </>
        )}
        {mayDelete && label === '' && (
          <>
            {' '}
            <Link to="keep" values={new URLSearchParams({ delete: selector })}>
              Delete what is stored
            </Link>
          </>
        )}
      </p>
    </section>
  )
}
