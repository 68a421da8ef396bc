// page.tsx - the query page: its panels, and what they have in common.

import { useEffect, useRef, useState } from 'preact/hooks'
import { formatDuration, parseDuration } from '../lib/time'
import { useSettings } from '../ui/settings'
import { go, usePlace } from '../ui/router'
import { Lazy } from '../ui/lazy'
import { FileButton } from '../ui/parts'
import { RefreshPick } from '../ui/range'
import { newPanel, panelsOf, valuesOf } from './panels'
import type { Panel } from './panels'
import { PanelView } from './panel'

/** What an address says about panels, not about all pages. */
function panelText(values: URLSearchParams): string {
  const own = new URLSearchParams(values)
  own.delete('tenant')
  own.delete('refresh')
  return own.toString()
}

const keys = new WeakMap<File, string>()

/** Each choice of a file is another one, also of the same file. */
function keyOf(file: File): string {
  const key = keys.get(file) ?? String(Math.random())
  keys.set(file, key)
  return key
}

export function QueryPage() {
  const place = usePlace()
  const [settings] = useSettings()
  const [panels, setPanels] = useState<Panel[]>(() => panelsOf(place.values))
  const [files, setFiles] = useState<File[]>([])
  const refresh = parseDuration(place.values.get('refresh') ?? '') || 0
  /** The panels as the address has them. */
  const written = useRef(panelText(place.values))

  // The address changes by the buttons of the browser, too.
  useEffect(() => {
    const text = panelText(place.values)
    if (text === written.current) return
    written.current = text
    setPanels(panelsOf(place.values))
  }, [place])
  const write = (panels: Panel[], refresh: number, replace: boolean) => {
    const values = valuesOf(panels)
    written.current = values.toString()
    if (refresh > 0) values.set('refresh', formatDuration(refresh))
    go('query', values, replace)
  }
  const change = (next: Panel[]) => {
    setPanels(next)
    write(next, refresh, false)
  }
  return (
    <>
      <header class="title">
        <h1>Query</h1>
        <RefreshPick value={refresh} onChange={r => write(panels, r, true)} />
      </header>
      {panels.map(p => (
        <PanelView
          key={p.id}
          panel={p}
          zone={settings.zone}
          refresh={refresh}
          isAlone={panels.length === 1}
          onChange={c => change(panels.map(q => (q.id === p.id ? { ...q, ...c } : q)))}
          onCopy={() => change(panels.flatMap(q => (q.id === p.id ? [q, { ...q, id: newPanel().id }] : [q])))}
          onRemove={() => change(panels.filter(q => q.id !== p.id))}
        />
      ))}
      {files.map(file => {
        const close = () => setFiles(files.filter(f => f !== file))
        return (
          <Lazy key={keyOf(file)} load={() => import('./saved')} onClose={close}>
            {m => <m.SavedView file={file} zone={settings.zone} onClose={close} />}
          </Lazy>
        )
      })}
      <p class="row">
        <button type="button" class="add" onClick={() => change([...panels, newPanel()])}>
          Add a panel
        </button>
        <FileButton label="Open a saved result…" onFile={file => setFiles([...files, file])} />
      </p>
    </>
  )
}
