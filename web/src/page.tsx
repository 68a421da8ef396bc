// page.tsx - the frame around all pages: the list of pages, and settings.

import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import { ExplorePage } from './explore/page'
import { DestinationsPage } from './keep/destinations'
import { KeepPage } from './keep/keep'
import { QueryPage } from './query/page'
import { AlertsPage } from './rules/alerts'
import { RulesPage } from './rules/rules'
import { StatusPage } from './status/page'
import { Link, PlaceProvider, usePlace } from './ui/router'
import { Pick } from './ui/parts'
import { SettingsProvider, useSettings } from './ui/settings'
import './style.css'

interface Entry {
  names: string[] // the first is its own; the others are those of Prometheus' pages
  title: string
  show: () => preact.JSX.Element
}

const entries: Entry[] = [
  { names: ['query', 'graph', ''], title: 'Query', show: QueryPage },
  { names: ['explore'], title: 'Explore', show: ExplorePage },
  { names: ['alerts'], title: 'Alerts', show: AlertsPage },
  { names: ['rules'], title: 'Rules', show: RulesPage },
  { names: ['keep'], title: 'Keep', show: KeepPage },
  { names: ['destinations', 'sources', 'targets'], title: 'Destinations', show: DestinationsPage },
  { names: ['status', 'tsdb-status', 'queries', 'config', 'flags'], title: 'Status', show: StatusPage },
]

const themes = [
  { id: 'system', label: 'As the system' },
  { id: 'light', label: 'Light' },
  { id: 'dark', label: 'Dark' },
]
const zones = [
  { id: 'local', label: 'Local' },
  { id: 'UTC', label: 'UTC' },
]

function Frame() {
  const place = usePlace()
  const [settings, change] = useSettings()
  const entry = entries.find(e => e.names.includes(place.page)) ?? entries[0]!
  useEffect(() => {
    document.title = `${entry.title} · Firekeep`
  }, [entry])
  const Page = entry.show
  return (
    <>
      <nav class="pages" aria-label="Pages">
        <b class="brand">Firekeep</b>
        {entries.map(e => (
          <Link to={e.names[0]!} current={e === entry}>
            {e.title}
          </Link>
        ))}
        <span class="grow" />
        <Pick label="Theme" choices={themes} value={settings.theme} onChange={t => change({ theme: t as typeof settings.theme })} />
        <Pick label="Times" choices={zones} value={settings.zone} onChange={z => change({ zone: z as typeof settings.zone })} />
      </nav>
      <main>
        <Page />
      </main>
    </>
  )
}

render(
  <SettingsProvider>
    <PlaceProvider>
      <Frame />
    </PlaceProvider>
  </SettingsProvider>,
  document.getElementById('page')!,
)
