// editor.ts - the editor of expressions: colours, brackets, completion from the server, and errors of
// the server at their place. It lives in a shadow root, where CodeMirror adopts its style sheets; in a
// document it would add a <style>, which the page's content security policy refuses.

import { closeBrackets, autocompletion, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands'
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from '@codemirror/language'
import { setDiagnostics } from '@codemirror/lint'
import { EditorState, Prec } from '@codemirror/state'
import { EditorView, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { PromQLExtension } from '@prometheus-io/codemirror-promql'
import { completionClient } from './client'

export interface EditorOptions {
  value: string
  label: string
  /** `isInWord`: the cursor is behind a letter or a digit, where more may follow. */
  onChange: (text: string, isInWord: boolean) => void
  onRun: () => void
}

export interface Editor {
  setValue: (text: string) => void
  /** Marks the text from one offset to another; null removes the mark. */
  setError: (error: { from: number; to: number; message: string } | null) => void
  focus: () => void
  destroy: () => void
}

const colours = HighlightStyle.define([
  { tag: tags.number, color: 'var(--code-number)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
  { tag: tags.keyword, color: 'var(--code-keyword)' },
  { tag: tags.function(tags.variableName), color: 'var(--code-function)' },
  { tag: tags.labelName, color: 'var(--code-label)' },
  { tag: tags.operator },
  { tag: tags.modifier, color: 'var(--code-keyword)' },
  { tag: tags.comment, color: 'var(--faint)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)' },
])

const theme = EditorView.theme({
  '&': { fontSize: '0.9rem', backgroundColor: 'transparent', color: 'var(--text)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-content': { fontFamily: 'var(--mono)', padding: '0.45rem 0', caretColor: 'var(--text)' },
  '.cm-line': { padding: '0 0.6rem' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-placeholder': { color: 'var(--faint)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'var(--selected)' },
  '.cm-matchingBracket, &.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--selected)' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--text)', border: '1px solid var(--line)' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
  '.cm-completionDetail': { color: 'var(--faint)', marginLeft: '1em' },
  '.cm-lintRange-error': { textDecoration: 'underline wavy var(--bad)', backgroundImage: 'none' },
})

function isInWord(state: EditorState): boolean {
  const at = state.selection.main.head
  return /[\w:.]/.test(state.sliceDoc(Math.max(0, at - 1), at))
}

export function createEditor(host: HTMLElement, options: EditorOptions): Editor {
  const shadow = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const promql = new PromQLExtension().activateLinter(false).setComplete({ remote: completionClient() })
  const run = (view: EditorView) => {
    options.onRun()
    view.focus()
    return true
  }
  const view = new EditorView({
    root: shadow,
    parent: shadow,
    state: EditorState.create({
      doc: options.value,
      extensions: [
        history(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        syntaxHighlighting(colours),
        theme,
        EditorView.lineWrapping,
        placeholder('Expression (Shift+Enter: new line)'),
        EditorView.contentAttributes.of({ 'aria-label': options.label }),
        // Completion takes Enter first, where its list is open.
        Prec.high(keymap.of([{ key: 'Shift-Enter', run: insertNewlineAndIndent }])),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, { key: 'Enter', run }, ...historyKeymap, ...defaultKeymap]),
        promql.asExtension(),
        EditorView.updateListener.of(u => u.docChanged && options.onChange(u.state.doc.toString(), isInWord(u.state))),
      ],
    }),
  })
  return {
    setValue(text) {
      const now = view.state.doc.toString()
      if (now !== text) view.dispatch({ changes: { from: 0, to: now.length, insert: text } })
    },
    setError(error) {
      const size = view.state.doc.length
      const marks =
        error === null
          ? []
          : [{ from: Math.min(error.from, size), to: Math.min(error.to, size), severity: 'error' as const, message: error.message }]
      view.dispatch(setDiagnostics(view.state, marks))
    },
    focus: () => view.focus(),
    destroy() {
      promql.destroy()
      view.destroy()
    },
  }
}

export { partsOf } from './syntax'
export type { Part } from './syntax'
