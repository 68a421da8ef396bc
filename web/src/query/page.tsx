// page.tsx - the query page: its panels, and what they have in common.

import { useEffect, useRef, useState } from 'preact/hooks'
import { useSettings } from '../ui/settings'
import { go, usePlace } from '../ui/router'
import { RefreshPick } from '../ui/range'
import { newPanel, panelsOf, valuesOf } from './panels'
import type { Panel } from './panels'
import { PanelView } from './panel'

export function QueryPage() {
  const place = usePlace()
  const [settings] = useSettings()
  const [panels, setPanels] = useState<Panel[]>(() => panelsOf(place.values))
  const [refresh, setRefresh] = useState(0)
  const written = useRef(place.values.toString())

  // The address changes by the buttons of the browser, too.
  useEffect(() => {
    if (place.values.toString() !== written.current) setPanels(panelsOf(place.values))
  }, [place])
  const change = (next: Panel[]) => {
    setPanels(next)
    const values = valuesOf(next)
    written.current = values.toString()
    go('query', values)
  }
  return (
    <>
      <header class="title">
        <h1>Query</h1>
        <RefreshPick value={refresh} onChange={setRefresh} />
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
      <button type="button" onClick={() => change([...panels, newPanel()])}>
        Add a panel
      </button>
    </>
  )
}
