// router.tsx - the address of the page: its path below the root names a page, its query string is
// the page's state. Links are real links; clicks on them change the address without a reload.

import { createContext } from 'preact'
import type { ComponentChildren } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'
import { root } from '../lib/api'

export interface Place {
  page: string
  values: URLSearchParams
}

function placeNow(): Place {
  const path = location.pathname.startsWith(root.pathname) ? location.pathname.slice(root.pathname.length) : ''
  return { page: path.replace(/\/+$/, ''), values: new URLSearchParams(location.search) }
}

/** The tenant stays in the address of all pages. */
export function hrefOf(page: string, values?: URLSearchParams): string {
  const all = new URLSearchParams(values)
  const tenant = new URLSearchParams(location.search).get('tenant')
  if (tenant !== null && !all.has('tenant')) all.set('tenant', tenant)
  const text = all.toString()
  return new URL(page, root).pathname + (text === '' ? '' : '?' + text)
}

const changed = 'firekeep-place'

export function go(page: string, values?: URLSearchParams, replace = false): void {
  const href = hrefOf(page, values)
  if (href === location.pathname + location.search) return
  if (replace) history.replaceState(null, '', href)
  else history.pushState(null, '', href)
  dispatchEvent(new Event(changed))
}

const PlaceContext = createContext<Place>({ page: '', values: new URLSearchParams() })

export function usePlace(): Place {
  return useContext(PlaceContext)
}

export function PlaceProvider(props: { children: ComponentChildren }) {
  const [place, setPlace] = useState(placeNow)
  useEffect(() => {
    const update = () => setPlace(placeNow())
    addEventListener('popstate', update)
    addEventListener(changed, update)
    return () => {
      removeEventListener('popstate', update)
      removeEventListener(changed, update)
    }
  }, [])
  return <PlaceContext.Provider value={place}>{props.children}</PlaceContext.Provider>
}

/** A text in the address of the page, which changes with it; "" if it is not there. */
export function useArgument(name: string): [string, (text: string) => void] {
  const place = usePlace()
  const set = (text: string) => {
    const values = new URLSearchParams(location.search)
    if (text === '') values.delete(name)
    else values.set(name, text)
    go(place.page, values, true)
  }
  return [place.values.get(name) ?? '', set]
}

export function Link(props: {
  to: string
  values?: URLSearchParams
  class?: string
  current?: boolean
  children: ComponentChildren
}) {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    go(props.to, props.values)
    scrollTo(0, 0)
  }
  return (
    <a class={props.class} href={hrefOf(props.to, props.values)} onClick={follow} aria-current={props.current ? 'page' : undefined}>
      {props.children}
    </a>
  )
}
