// api.ts - requests to the server's HTTP API, whose paths begin at the directory of the page.

import { fetchSignedIn } from './session'

/** The directory of the page: the external URL with its prefix. */
export const root = new URL('.', document.baseURI)

/** An answer that is an error, or no answer: status 0. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
  ) {
    super(message)
  }
}

/** Says whether the server, or a proxy before it, gave no answer of its own. */
export function isUnreachable(error: Error | null): boolean {
  return error instanceof ApiError && (error.type === 'unreachable' || [502, 503, 504].includes(error.status))
}

export interface Answer<T> {
  data: T
  warnings: string[]
  infos: string[]
  bytes: number
}

type Values = Record<string, string | string[] | undefined>

export function formOf(values: Values): URLSearchParams {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) for (const v of value) form.append(name, v)
    else if (value !== undefined) form.append(name, value)
  }
  return form
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetchSignedIn(new URL(path, root), init)
  } catch (e) {
    if ((e as Error).name === 'AbortError') throw e
    throw new ApiError(0, 'unreachable', 'The server does not answer.')
  }
}

/** Reads an answer in Prometheus' envelope; throws ApiError, or AbortError. */
export async function answerOf<T>(response: Response): Promise<Answer<T>> {
  const text = await response.text()
  let body
  try {
    body = JSON.parse(text)
  } catch {
    const line = text.trim().split('\n', 1)[0] || response.statusText
    throw new ApiError(response.status, 'status', line)
  }
  if (body?.status !== 'success') {
    throw new ApiError(response.status, body?.errorType ?? 'status', body?.error ?? text)
  }
  return {
    data: body.data as T,
    warnings: body.warnings ?? [],
    infos: body.infos ?? [],
    bytes: text.length,
  }
}

/** Asks a route that reads by GET. */
export async function get<T>(path: string, values: Values = {}, signal?: AbortSignal): Promise<Answer<T>> {
  const query = formOf(values).toString()
  return answerOf<T>(await send(query === '' ? path : `${path}?${query}`, { signal }))
}

/** Asks a route that reads by a form, whose length has no limit of a URL. */
export async function ask<T>(path: string, values: Values, signal?: AbortSignal): Promise<Answer<T>> {
  return answerOf<T>(await send(path, { method: 'POST', body: formOf(values), signal }))
}

/** Posts a body, and returns the answer before its own is read; errors are those of ask(). */
export async function open(path: string, init: RequestInit): Promise<Response> {
  const response = await send(path, { ...init, method: 'POST' })
  if (!response.ok) await answerOf(response)
  return response
}

/** Asks a route that answers with lines of JSON. */
export async function lines<T>(path: string, values: Values, signal?: AbortSignal): Promise<T[]> {
  const response = await send(`${path}?${formOf(values)}`, { signal })
  if (!response.ok) await answerOf(response)
  const text = await response.text()
  return text.split('\n').filter(line => line !== '').map(line => JSON.parse(line) as T)
}

/** Asks a route that answers with plain text. */
get.text = async function (path: string, signal?: AbortSignal): Promise<string> {
  const response = await send(path, { signal })
  const text = await response.text()
  if (!response.ok) throw new ApiError(response.status, 'status', text.trim())
  return text
}

/** Sends a text, which is not a form, to a route that answers in the envelope. */
export async function sendText<T>(path: string, text: string, type: string, signal?: AbortSignal): Promise<Answer<T>> {
  return answerOf<T>(await send(path, { method: 'POST', body: text, headers: { 'Content-Type': type }, signal }))
}

/** Sends a command that has an answer; `yaml` is its body, if it has one. */
export async function command<T>(path: string, values: Values = {}, yaml?: string): Promise<T> {
  const query = formOf(values).toString()
  const init = { method: 'POST', body: yaml, headers: yaml === undefined ? undefined : { 'Content-Type': 'application/yaml' } }
  return (await answerOf<T>(await send(query === '' ? path : `${path}?${query}`, init))).data
}

/** Changes something on the server; an answer without a body is fine. */
export async function post(path: string, values: Values = {}, method = 'POST'): Promise<void> {
  const query = formOf(values).toString()
  const response = await send(query === '' ? path : `${path}?${query}`, { method })
  if (response.ok) return
  await answerOf(response)
}
