// module.ts - parts of the page that are loaded when they are first shown.

import { useEffect, useState } from 'preact/hooks'

/** Returns the module, or null until it is there. */
export function useModule<T>(load: () => Promise<T>): T | null {
  const [module, setModule] = useState<{ of: T } | null>(null)
  useEffect(() => {
    let isGone = false
    void load().then(m => !isGone && setModule({ of: m }))
    return () => void (isGone = true)
  }, [])
  return module?.of ?? null
}
