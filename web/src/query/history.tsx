// history.tsx - the expressions that were run since the page was opened. They may name what only this
// user may see, so they stay in the memory of the page.

import { Menu } from '../ui/menu'

const most = 50
let expressions: string[] = []

export function remember(expr: string): void {
  expressions = [expr, ...expressions.filter(e => e !== expr)].slice(0, most)
}

export function History(props: { onPick: (expr: string) => void }) {
  return (
    <Menu label="History">
      {close => (
        <>
          {expressions.length === 0 && <p class="empty">No expression has been run.</p>}
          <ul class="choices">
            {expressions.map(e => (
              <li>
                <button
                  type="button"
                  onClick={() => {
                    close()
                    props.onPick(e)
                  }}
                >
                  <code>{e}</code>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </Menu>
  )
}
