// menu.tsx - a button that opens a small panel below itself; Escape and clicks elsewhere close it.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'

export function Menu(props: { label: string; name?: string; children: (close: () => void) => ComponentChildren }) {
  const [isOpen, setOpen] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const close = () => {
    setOpen(false)
    button.current?.focus()
  }
  useEffect(() => {
    if (!isOpen) return
    const leave = (event: Event) => {
      if (!box.current!.contains(event.target as Node)) setOpen(false)
    }
    addEventListener('pointerdown', leave)
    addEventListener('focusin', leave)
    return () => {
      removeEventListener('pointerdown', leave)
      removeEventListener('focusin', leave)
    }
  }, [isOpen])
  return (
    <div class="menu" ref={box} onKeyDown={e => e.key === 'Escape' && isOpen && close()}>
      <button type="button" ref={button} aria-expanded={isOpen} aria-label={props.name} onClick={() => setOpen(!isOpen)}>
        {props.label} ▾
      </button>
      {isOpen && <div class="sheet">{props.children(close)}</div>}
    </div>
  )
}
