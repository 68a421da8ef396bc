// focus.ts - keeps the focus of the keyboard near an element that had it and is removed: a row that is
// deleted, a menu that closes. Otherwise the next Tab would begin at the top of the page.

const focusable = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'

function firstIn(element: Element): HTMLElement | undefined {
  return [...element.querySelectorAll<HTMLElement>(focusable)].find(e => !e.matches(':disabled, [tabindex="-1"]') && e.checkVisibility())
}

export function keepFocus(): void {
  /** The element that has the focus by the keyboard, and those around it. */
  let path: Element[] = []
  addEventListener('focusin', event => {
    const target = event.target as Element
    path = []
    for (let e: Element | null = target.matches(':focus-visible') ? target : null; e !== null; e = e.parentElement) path.push(e)
  })
  const move = () => {
    if (path.length === 0 || path[0]!.isConnected || document.activeElement !== document.body) return
    const around = path.filter(e => e.isConnected)
    path = []
    for (const element of around) {
      const next = firstIn(element)
      if (next !== undefined) return next.focus()
    }
  }
  new MutationObserver(move).observe(document, { childList: true, subtree: true })
}
