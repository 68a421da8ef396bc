// favourites.tsx - expressions that a user has saved. They stay in the storage of the browser, below the
// name of the user and the tenant, so that another user of the browser gets a list of their own. Nothing
// is stored that was not saved by its button.

import { useState } from 'preact/hooks'
import { Menu } from '../ui/menu'
import { usePlace } from '../ui/router'
import { useSession } from '../ui/session'

function read(key: string): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? '[]')
    return Array.isArray(list) ? list.filter(e => typeof e === 'string') : []
  } catch {
    return []
  }
}

function List(props: { name: string; current: () => string; onPick: (expr: string) => void }) {
  const [list, setList] = useState(() => read(props.name))
  const change = (next: string[]) => {
    setList(next)
    try {
      localStorage.setItem(props.name, JSON.stringify(next))
    } catch {
      // A browser that keeps nothing has the list until the menu is closed.
    }
  }
  const current = props.current().trim()
  return (
    <>
      {list.length === 0 && <p class="empty">No expression has been saved in this browser.</p>}
      <ul class="choices">
        {list.map(e => (
          <li class="row">
            <button type="button" onClick={() => props.onPick(e)}>
              <code>{e}</code>
            </button>
            <button type="button" aria-label={`Remove ${e}`} onClick={() => change(list.filter(x => x !== e))}>
              ×
            </button>
          </li>
        ))}
      </ul>
      {current !== '' && !list.includes(current) && (
        <button type="button" class="primary" onClick={() => change([...list, current].sort())}>
          Save this expression
        </button>
      )}
    </>
  )
}

export function Favourites(props: { current: () => string; onPick: (expr: string) => void }) {
  const { sender } = useSession()
  const tenant = usePlace().values.get('tenant') ?? ''
  return (
    <Menu label="Favourites">
      {close => (
        <List
          name={`firekeep.favourites ${JSON.stringify([sender.user, tenant])}`}
          current={props.current}
          onPick={e => {
            close()
            props.onPick(e)
          }}
        />
      )}
    </Menu>
  )
}
