// settings.tsx - what a person likes: kept in this browser, never sent.

import { createContext } from 'preact'
import type { ComponentChildren } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'
import type { Zone } from '../lib/time'

export interface Settings {
  theme: 'system' | 'light' | 'dark'
  zone: Zone
  /** Link to the trace of an exemplar, with the names of labels in braces. */
  traceUrl: string
}

const key = 'firekeep.settings'
const defaults: Settings = { theme: 'system', zone: 'local', traceUrl: '' }

function read(): Settings {
  try {
    const settings: Settings = { ...defaults, ...JSON.parse(localStorage.getItem(key) ?? '{}') }
    // Throws for a zone that the browser does not know.
    if (settings.zone !== 'local') new Intl.DateTimeFormat('en', { timeZone: settings.zone })
    return settings
  } catch {
    return defaults
  }
}

type Change = (change: Partial<Settings>) => void
const SettingsContext = createContext<[Settings, Change]>([defaults, () => undefined])

export function useSettings(): [Settings, Change] {
  return useContext(SettingsContext)
}

export function SettingsProvider(props: { children: ComponentChildren }) {
  const [settings, set] = useState(read)
  useEffect(() => {
    document.documentElement.dataset['theme'] = settings.theme
  }, [settings.theme])
  const change = (change: Partial<Settings>) => {
    const next = { ...settings, ...change }
    set(next)
    try {
      localStorage.setItem(key, JSON.stringify(next))
    } catch {
      // A browser that keeps nothing has the settings until the page is left.
    }
  }
  return <SettingsContext.Provider value={[settings, change]}>{props.children}</SettingsContext.Provider>
}
