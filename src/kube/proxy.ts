// Which HTTP proxy stands between this process and the API server. The rules for the environment are those of Go, and so of kubectl.
import { BlockList, isIP } from 'node:net'

/** HTTPS_PROXY and NO_PROXY. */
export interface ProxyVariables {
  readonly httpsProxy: string | undefined
  readonly noProxy: string | undefined
}

/** undefined: it is no address of a proxy that is supported. */
export function parseProxy(text: string): URL | undefined {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined
  return new URL(text)
}

/** undefined: no proxy. Throws Error, one line, where HTTPS_PROXY is none that is supported. */
export function proxyFor(server: URL, { httpsProxy, noProxy = '' }: ProxyVariables): URL | undefined {
  if (httpsProxy === undefined || isDirect(server, noProxy)) return undefined
  const proxy = parseProxy(httpsProxy.includes('://') ? httpsProxy : `http://${httpsProxy}`)
  if (proxy !== undefined) return proxy
  const expected = 'http://HOST:PORT or https://HOST:PORT; other proxies, such as SOCKS, are not supported'
  throw new Error(`HTTPS_PROXY is ${JSON.stringify(httpsProxy)}, expected ${expected}`)
}

function isDirect(server: URL, noProxy: string): boolean {
  const host = hostOf(server).toLowerCase()
  if (host === 'localhost' || isIn(host, '127.0.0.0/8') || host === '::1') return true
  const port = server.port === '' ? '443' : server.port
  const entries = noProxy.split(',').map((entry) => entry.trim().toLowerCase())
  return entries.some((entry) => entry !== '' && matches(entry, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  if (entry.includes('/')) return isIn(host, entry)
  const [, bracketed, plain = entry, ofPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? []
  if (ofPort !== undefined && ofPort !== port) return false
  const name = (bracketed ?? plain).replace(/^\*\./, '.')
  if (name.startsWith('.')) return host.endsWith(name)
  return host === name || (isIP(name) === 0 && host.endsWith(`.${name}`))
}

/** Whether an address is in a block such as 10.0.0.0/8. */
function isIn(host: string, block: string): boolean {
  const [address = '', length = ''] = block.split('/')
  const family = isIP(address)
  const isBlock = /^\d{1,3}$/.test(length) && Number(length) <= (family === 6 ? 128 : 32)
  if (family === 0 || isIP(host) !== family || !isBlock) return false
  const type = family === 6 ? 'ipv6' : 'ipv4'
  const blocks = new BlockList()
  blocks.addSubnet(address, Number(length), type)
  return blocks.check(host, type)
}

/** Without the brackets of an IPv6 address. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '')
}
