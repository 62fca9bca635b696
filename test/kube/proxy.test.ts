import { describe, expect, test } from 'vitest'
import { parseProxy, proxyFor } from '../../src/kube/proxy.ts'

const proxyOf = (server: string, noProxy?: string, httpsProxy: string | undefined = 'http://proxy:3128') =>
  proxyFor(new URL(server), { httpsProxy, noProxy })?.host

describe('proxyFor()', () => {
  test.each<[string, string | undefined, boolean]>([
    ['https://api.example.org:6443', undefined, true],
    ['https://api.example.org:6443', '', true],
    ['https://localhost:6443', undefined, false],
    ['https://127.0.0.1:6443', undefined, false],
    ['https://127.1.2.3:6443', undefined, false],
    ['https://[::1]:6443', undefined, false],
    ['https://api.example.org', '*', false],
    ['https://api.example.org', 'other, example.org', false],
    ['https://example.org', 'example.org', false],
    ['https://example.org', '.example.org', true],
    ['https://api.example.org', '.example.org', false],
    ['https://api.example.org', '*.example.org', false],
    ['https://api.EXAMPLE.org', 'API.example.ORG', false],
    ['https://badexample.org', 'example.org', true],
    ['https://api.example.org', 'api.example.org:443', false],
    ['https://api.example.org:6443', 'api.example.org:443', true],
    ['https://api.example.org:6443', 'api.example.org:6443', false],
    ['https://10.1.2.3:6443', '10.0.0.0/8', false],
    ['https://11.1.2.3:6443', '10.0.0.0/8', true],
    ['https://10.1.2.3:6443', '10.1.2.3', false],
    ['https://110.1.2.3:6443', '10.1.2.3', true],
    ['https://10.1.2.3:6443', '10.1.2.3:6443', false],
    ['https://[fd00::1]:6443', 'fd00::/8', false],
    ['https://[fd00::1]:6443', '[fd00::1]:6443', false],
    ['https://10.1.2.3:6443', '10.0.0.0/99, /8, x/8', true],
  ])('for %s with NO_PROXY %j: %j', (server, noProxy, expected) => {
    expect(proxyOf(server, noProxy) !== undefined).toBe(expected)
  })

  test('takes an address without scheme for http, and refuses what it does not speak', () => {
    expect(proxyOf('https://a', undefined, 'proxy:8080')).toBe('proxy:8080')
    expect(() => proxyOf('https://a', undefined, 'socks5://proxy:1080')).toThrow('HTTPS_PROXY is "socks5://proxy:1080"')
    expect(proxyFor(new URL('https://a'), { httpsProxy: undefined, noProxy: undefined })).toBeUndefined()
  })
})

test('parseProxy() knows http and https', () => {
  expect(parseProxy('http://u:p@h:1')?.username).toBe('u')
  expect(parseProxy('HTTPS://h')?.protocol).toBe('https:')
  for (const wrong of ['h:1', 'socks5://h', 'ftp://h', 'http://', '']) expect(parseProxy(wrong)).toBeUndefined()
})
