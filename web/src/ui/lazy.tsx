// lazy.tsx - parts of the page that are loaded when they are first shown.

import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Notice } from './parts'

export function Lazy<M>(props: { load: () => Promise<M>; onClose?: () => void; children: (module: M) => ComponentChildren }) {
  const [module, setModule] = useState<{ of: M } | 'loading' | 'failed'>('loading')
  useEffect(() => {
    let isGone = false
    props.load().then(
      m => !isGone && setModule({ of: m }),
      () => !isGone && setModule('failed'),
    )
    return () => void (isGone = true)
  }, [])
  if (module === 'loading') return <p class="empty">Loading…</p>
  if (module === 'failed') {
    return (
      <>
        <Notice kind="error">A part of the page cannot be loaded; load the page again.</Notice>
        {props.onClose !== undefined && (
          <button type="button" onClick={props.onClose}>
            Close
          </button>
        )}
      </>
    )
  }
  return <>{props.children(module.of)}</>
}
