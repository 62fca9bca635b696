import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CredentialSource } from '../../src/kube/credentials.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'

const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-kubeconfig-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let written = 0

interface Parts {
  readonly cluster?: object
  readonly user?: object
  readonly context?: object | undefined
  readonly more?: object
}

/** Path of a kubeconfig, in a directory of its own. */
function write(content: object | string): string {
  written++
  const path = join(directory, String(written), 'config')
  mkdirSync(join(directory, String(written)))
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

function whole({ cluster = {}, user = {}, context = { cluster: 'c', user: 'u' }, more = {} }: Parts = {}): object {
  return {
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context }],
    'current-context': 'x',
    ...more,
  }
}

const named = (name: string, server: string) => [{ name, cluster: { server } }]

describe('several kubeconfigs', () => {
  test('are merged: the first that sets a name, or the current context, wins', () => {
    const first = write({ clusters: named('c', 'https://first:1'), users: [{ name: 'u', user: { token: 'first' } }] })
    const second = write(
      whole({
        cluster: { server: 'https://second:1', 'tls-server-name': 'second' },
        user: { token: 'second' },
      }),
    )
    const third = write({ 'current-context': 'y', contexts: [{ name: 'x', context: { cluster: 'other', user: 'u' } }] })
    const { cluster, user } = readKubeconfig(`${first}:${second}:${third}`)
    // Of the same name nothing is taken from the second, not what the first leaves out either.
    expect([cluster.server, cluster['tls-server-name'], user.token]).toEqual(['https://first:1', undefined, 'first'])
  })

  test('need not all be there, nor be named once', () => {
    const path = write(whole())
    for (const paths of [`/nowhere:${path}`, `${path}:/nowhere`, `:${path}:`, `${path}:${path}`]) {
      expect(readKubeconfig(paths).cluster.server).toBe('https://10.0.0.1:6443')
    }
    expect(() => readKubeconfig('/nowhere:/neither')).toThrow('kubeconfig /nowhere:/neither is not a file')
    expect(() => readKubeconfig(`${directory}:${path}`)).toThrow(`kubeconfig ${directory} is not a file`)
  })

  test('have paths that start at their own file', () => {
    const credentials = write({
      users: [{ name: 'u', user: { tokenFile: 'token', exec: { ...plugin, command: './bin/login' } } }],
    })
    writeFileSync(join(credentials, '..', 'token'), 't')
    const clusters = write(whole({ cluster: { 'certificate-authority': 'ca.crt' }, more: { users: [] } }))
    writeFileSync(join(clusters, '..', 'ca.crt'), 'x')
    const { cluster, user } = readKubeconfig(`${credentials}:${clusters}`)
    expect(cluster['certificate-authority']).toBe(join(clusters, '..', 'ca.crt'))
    expect([user.tokenFile, user.exec?.command]).toEqual([
      join(credentials, '..', 'token'),
      join(credentials, '..', 'bin/login'),
    ])
  })

  test('and one whose name has a colon in it is one', () => {
    mkdirSync(join(directory, 'a:b'))
    const path = join(directory, 'a:b', 'config')
    writeFileSync(path, JSON.stringify(whole()))
    expect(readKubeconfig(path).cluster.server).toBe('https://10.0.0.1:6443')
  })
})

const plugin = { apiVersion: 'client.authentication.k8s.io/v1', command: 'login', interactiveMode: 'Never' }

describe('a kubeconfig', () => {
  test('may leave out, or null, whatever is not needed, and hold entries of others', () => {
    const more = { preferences: {}, extensions: null, users: null }
    const clusters = [...named('c', 'https://a:1'), { name: 'other', cluster: null }]
    const path = write(whole({ context: { cluster: 'c' }, more: { ...more, clusters } }))
    expect(readKubeconfig(path).cluster.server).toBe('https://a:1')
  })

  test.each<[string, Parts, string]>([
    [
      'no context',
      { more: { 'current-context': '' } },
      'current-context is not set, expected the name of a context: one of x',
    ],
    [
      'an unknown context',
      { more: { 'current-context': 'y' } },
      'current-context is "y", expected the name of a context: one of x',
    ],
    [
      'an unknown cluster',
      { context: { cluster: 'z' } },
      'contexts["x"].context.cluster is "z", expected the name of a cluster: one of c',
    ],
    [
      'an unknown user',
      { context: { cluster: 'c', user: 'z' } },
      'contexts["x"].context.user is "z", expected the name of a user: one of u',
    ],
    ['a name that is there twice', { more: { users: [{ name: 'u' }, { name: 'u' }] } }, 'users["u"] is there twice'],
    [
      'no server',
      { cluster: { server: '' } },
      'clusters["c"].cluster.server is not set, expected the address of the API server',
    ],
    [
      'http',
      { cluster: { server: 'http://10.0.0.1' } },
      'clusters["c"].cluster.server is "http://10.0.0.1", expected an address that begins with https://',
    ],
    [
      'a SOCKS proxy',
      { cluster: { 'proxy-url': 'socks5://p:1080' } },
      'clusters["c"].cluster.proxy-url is "socks5://p:1080", expected http://HOST:PORT or https://HOST:PORT',
    ],
    [
      'a proxy without scheme',
      { cluster: { 'proxy-url': 'p:3128' } },
      'clusters["c"].cluster.proxy-url is "p:3128", expected http://',
    ],
    [
      'a CA twice',
      { cluster: { 'certificate-authority': '/ca', 'certificate-authority-data': 'eA==' } },
      'clusters["c"].cluster.certificate-authority is "/ca", expected either certificate-authority or certificate-authority-data',
    ],
    [
      'a CA that nothing is checked against',
      { cluster: { 'certificate-authority-data': 'eA==', 'insecure-skip-tls-verify': true } },
      'clusters["c"].cluster.insecure-skip-tls-verify is "true", expected false, or no certificate-authority',
    ],
    [
      'a CA that is not there',
      { cluster: { 'certificate-authority': '/nowhere/ca' } },
      'clusters["c"].cluster.certificate-authority is "/nowhere/ca", expected a file that can be read (ENOENT)',
    ],
    [
      'text for a boolean',
      { cluster: { 'insecure-skip-tls-verify': 'true' } },
      'clusters["c"].cluster.insecure-skip-tls-verify: ',
    ],
    [
      'an auth-provider',
      { user: { 'auth-provider': { name: 'gcp' } } },
      'users["u"].user.auth-provider is "gcp", expected a token, tokenFile, client-certificate or exec plug-in',
    ],
    [
      'a field of another library',
      { user: { 'token-file': '/t' } },
      'users["u"].user.token-file is "/t", expected this path as tokenFile',
    ],
    [
      'a token and a password',
      { user: { token: 't', username: 'n' } },
      'users["u"].user.username is "n", expected either a token or a user name',
    ],
    [
      'a certificate without its key',
      { user: { 'client-certificate-data': 'eA==' } },
      'users["u"].user.client-key is not set',
    ],
    [
      'a key without its certificate',
      { user: { 'client-key-data': 'eA==' } },
      'users["u"].user.client-certificate is not set',
    ],
    [
      'a token file that is not there',
      { user: { tokenFile: '/nowhere/t' } },
      'users["u"].user.tokenFile is "/nowhere/t", expected a file that can be read',
    ],
    ['groups of nobody', { user: { 'as-groups': ['g'] } }, 'users["u"].user.as is not set'],
    [
      'a plug-in of an old version',
      { user: { exec: { ...plugin, apiVersion: 'client.authentication.k8s.io/v1alpha1' } } },
      'users["u"].user.exec.apiVersion is "client.authentication.k8s.io/v1alpha1", expected client.authentication.k8s.io/v1 or',
    ],
    [
      'a plug-in without command',
      { user: { exec: { ...plugin, command: '' } } },
      'users["u"].user.exec.command is not set',
    ],
    [
      'a plug-in that needs a terminal',
      { user: { exec: { ...plugin, interactiveMode: 'Always' } } },
      'users["u"].user.exec.interactiveMode is "Always", expected Never or IfAvailable',
    ],
    [
      'a plug-in that does not say',
      { user: { exec: { ...plugin, interactiveMode: undefined } } },
      'users["u"].user.exec.interactiveMode is not set',
    ],
  ])('with %s is refused by name', (_, parts, message) => {
    const path = write(whole(parts))
    expect(() => readKubeconfig(path)).toThrow(`kubeconfig ${path}: ${message}`.replace(/: $/, ''))
    expect(() => readKubeconfig(path)).toThrow(message)
    try {
      readKubeconfig(path)
    } catch (error) {
      expect(String(error)).not.toContain('\n')
    }
  })

  test.each(['a: [', 'just text', '[]', 'clusters: {}'])(
    'that is no kubeconfig (%j) is refused in one line',
    (content) => {
      const path = write(content)
      const message = (() => {
        try {
          readKubeconfig(path)
          return ''
        } catch (error) {
          return (error as Error).message
        }
      })()
      expect(message).toMatch(new RegExp(`^kubeconfig ${path}(: | could not be read: ).+$`))
    },
  )
})

describe('CredentialSource', () => {
  const read = (parts: Parts) => new CredentialSource({ kubeconfig: write(whole(parts)) }).read()

  test('impersonates whom the kubeconfig names', async () => {
    const user = {
      token: 't',
      as: 'jane',
      'as-uid': '7',
      'as-groups': ['a', 'b'],
      'as-user-extra': { 'x/y(z)': ['1'] },
    }
    const { headers } = await read({ user })
    expect(headers).toEqual({
      Authorization: 'Bearer t',
      'Impersonate-User': 'jane',
      'Impersonate-Uid': '7',
      'Impersonate-Group': ['a', 'b'],
      'Impersonate-Extra-x%2Fy%28z%29': ['1'],
    })
  })

  test('prefers the tokenFile to the token beside it, as kubectl does', async () => {
    const path = write('from the file')
    expect((await read({ user: { token: 't', tokenFile: path } })).headers.Authorization).toBe('Bearer from the file')
  })

  test('tells a plug-in what kubectl tells it', async () => {
    const script = `echo '{"status": {"token": "'"$(echo "$KUBERNETES_EXEC_INFO" | base64 -w0)"'"}}'`
    const exec = { ...plugin, command: '/bin/sh', args: ['-c', script], interactiveMode: 'IfAvailable' }
    const cluster = {
      'tls-server-name': 'n',
      extensions: [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } }],
    }
    const infoOf = async (parts: object) => {
      const { headers } = await read({ cluster, user: { exec: { ...exec, ...parts } } })
      const token = String(headers.Authorization).replace('Bearer ', '')
      return JSON.parse(Buffer.from(token, 'base64').toString())
    }
    const head = { apiVersion: plugin.apiVersion, kind: 'ExecCredential' }
    expect(await infoOf({})).toEqual({ ...head, spec: { interactive: false } })
    expect(await infoOf({ provideClusterInfo: true })).toEqual({
      ...head,
      spec: {
        interactive: false,
        cluster: { server: 'https://10.0.0.1:6443', 'tls-server-name': 'n', config: { audience: 'a' } },
      },
    })
  })

  test('a plug-in that asks a question ends', async () => {
    const exec = { ...plugin, command: '/bin/sh', args: ['-c', `read x; echo '{"status": {"token": "none"}}'`] }
    expect((await read({ user: { exec } })).headers.Authorization).toBe('Bearer none')
  })

  test('takes name and checks of TLS, and the proxy, from the kubeconfig', async () => {
    const cluster = { 'insecure-skip-tls-verify': true, 'tls-server-name': 'n', 'proxy-url': 'http://p:3128' }
    const variables = { httpsProxy: 'http://other:1', noProxy: '*' }
    const source = new CredentialSource({ kubeconfig: write(whole({ cluster })), proxyVariables: variables })
    const { tls, proxy } = await source.read()
    expect([tls.rejectUnauthorized, tls.servername, proxy?.host]).toEqual([false, 'n', 'p:3128'])
  })

  test('goes on with what it has where the kubeconfig cannot be read again', async () => {
    const path = write(whole({ user: { token: 't' } }))
    const source = new CredentialSource({ kubeconfig: path })
    writeFileSync(path, 'a: [')
    source.reload()
    expect((await source.read()).headers.Authorization).toBe('Bearer t')
    writeFileSync(path, JSON.stringify(whole({ user: { token: 'later' } })))
    source.reload()
    expect((await source.read()).headers.Authorization).toBe('Bearer later')
  })
})
