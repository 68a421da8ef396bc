// page.tsx - the frame around all pages: the list of pages, and settings.

import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { TargetsPage } from './earlier/earlier'
import { ExplorePage } from './explore/page'
import { KeepPage } from './keep/keep'
import { serverAhead } from './lib/clock'
import { duration } from './lib/format'
import { QueryPage } from './query/page'
import { AlertsPage } from './rules/alerts'
import { RulesPage } from './rules/rules'
import { StatusPage } from './status/page'
import { keepFocus } from './ui/focus'
import { Lazy } from './ui/lazy'
import { Link, PlaceProvider, usePlace } from './ui/router'
import { Notice, Pick } from './ui/parts'
import { SessionProvider, Who, useSession } from './ui/session'
import type { Permission } from './ui/session'
import { SettingsProvider, useSettings } from './ui/settings'
import { OfTenant, TenantPicker } from './ui/tenant'

interface Entry {
  names: string[] // the first is its own; the others are those of Prometheus' pages
  title: string
  show: () => preact.JSX.Element
  needs: Permission[] // one of them
  ofTenant: boolean // shows data of a tenant
  isUnlisted?: boolean // only its address leads to it
}

const DestinationsPage = () => <Lazy load={() => import('./keep/destinations')}>{m => <m.DestinationsPage />}</Lazy>
const ToolsPage = () => <Lazy load={() => import('./tools/tools')}>{m => <m.ToolsPage />}</Lazy>
const DashboardsPage = () => <Lazy load={() => import('./dashboards/dashboards')}>{m => <m.DashboardsPage />}</Lazy>

const ofProcess: Permission[] = ['admin', 'metrics']

const entries: Entry[] = [
  { names: ['query', 'graph', ''], title: 'Query', show: QueryPage, needs: ['read'], ofTenant: true },
  { names: ['dashboards'], title: 'Dashboards', show: DashboardsPage, needs: ['read'], ofTenant: true },
  { names: ['explore'], title: 'Explore', show: ExplorePage, needs: ['read'], ofTenant: true },
  { names: ['alerts', 'alertmanager-discovery', 'discovered-alertmanagers'], title: 'Alerts', show: AlertsPage, needs: ['read'], ofTenant: true },
  { names: ['rules'], title: 'Rules', show: RulesPage, needs: ['read'], ofTenant: true },
  { names: ['keep'], title: 'Keep', show: KeepPage, needs: ofProcess, ofTenant: false },
  { names: ['destinations', 'sources'], title: 'Destinations', show: DestinationsPage, needs: ofProcess, ofTenant: false },
  { names: ['tools'], title: 'Tools', show: ToolsPage, needs: ofProcess, ofTenant: true },
  { names: ['status', 'tsdb-status', 'tenants', 'queries', 'config', 'flags'], title: 'Status', show: StatusPage, needs: ['read', ...ofProcess], ofTenant: false },
  { names: ['targets', 'service-discovery'], title: 'Targets', show: TargetsPage, needs: ['read'], ofTenant: true, isUnlisted: true },
]

const themes = [
  { id: 'system', label: 'System' },
  { id: 'light', label: 'Light' },
  { id: 'dark', label: 'Dark' },
]

/** A choice of time zones. Over 400 entries would delay the first paint: those that are not chosen are added after it. */
function ZonePick() {
  const [{ zone }, change] = useSettings()
  const [all, setAll] = useState([zone])
  useEffect(() => setAll(Intl.supportedValuesOf('timeZone')), [])
  // A zone of another browser or version may have a name that the list of this one lacks.
  const ids = [...new Set(['local', 'UTC', zone, ...all])]
  return <Pick label="Times" choices={ids.map(id => ({ id, label: id === 'local' ? 'Local' : id }))} value={zone} onChange={id => change({ zone: id as typeof zone })} />
}

/** Says so when the clock of the browser is wrong: times that are typed there would be, too. */
function ClockNotice() {
  const ahead = serverAhead()
  if (ahead === 0) return null
  return (
    <Notice kind="warning">
      The clock of this browser is {duration(Math.abs(ahead))} {ahead > 0 ? 'behind' : 'ahead of'} that of the server, by which the page goes.
    </Notice>
  )
}

function Frame() {
  const place = usePlace()
  const [settings, change] = useSettings()
  const { sender } = useSession()
  const offered = entries.filter(e => e.needs.some(p => sender.permissions.includes(p)))
  const entry = entries.find(e => e.names.includes(place.page)) ?? entries[0]!
  useEffect(() => {
    document.title = `${entry.title} · Firekeep`
  }, [entry])
  const Page = entry.show
  return (
    <>
      <nav class="pages" aria-label="Pages">
        <b class="brand">Firekeep</b>
        {offered.filter(e => !e.isUnlisted).map(e => (
          <Link to={e.names[0]!} current={e === entry}>
            {e.title}
          </Link>
        ))}
        <span class="grow" />
        <TenantPicker />
        <Pick label="Theme" choices={themes} value={settings.theme} onChange={t => change({ theme: t as typeof settings.theme })} />
        <ZonePick />
        <Who />
      </nav>
      <main>
        <ClockNotice />
        {!offered.includes(entry) ? (
          <p class="empty">The user {sender.user} is not permitted to see this page.</p>
        ) : entry.ofTenant ? (
          <OfTenant>
            <Page />
          </OfTenant>
        ) : (
          <Page />
        )}
      </main>
    </>
  )
}

keepFocus()
render(
  <SettingsProvider>
    <PlaceProvider>
      <SessionProvider>
        <Frame />
      </SessionProvider>
    </PlaceProvider>
  </SettingsProvider>,
  document.getElementById('page')!,
)
