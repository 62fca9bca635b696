// The images that nodes get, as archives for containerd: what the Dockerfile builds, and the program that holds a Pod's namespaces.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { nodeBinaries } from '../controlplane/binaries.ts'
import { buildImage, ImageStore } from '../image/image.ts'
import { directory } from './place.ts'

const repository = 'localhost/vmsnapshot-operator'
export const pauseImage = 'localhost/pause:e2e'

export interface Image {
  readonly repository: string
  readonly tag: string
  readonly archive: string
}

export class Images {
  readonly #store = new ImageStore()

  /** `context`: a directory with the sources, the repository's unless told. */
  async product(tag: string, revision: string, context?: string): Promise<Image> {
    const name = `${repository}:${tag}`
    await buildImage(this.#store, name, revision, context)
    return { repository, tag, archive: await this.#save(name, tag) }
  }

  async pause(): Promise<Image> {
    const container = await this.#store.buildah('from', 'scratch')
    await this.#store.buildah('copy', '--quiet', container, join(await nodeBinaries(), 'pause'), '/pause')
    await this.#store.buildah('config', '--entrypoint', '["/pause"]', '--user', '65535:65535', container)
    await this.#store.buildah('commit', '--quiet', '--rm', container, pauseImage)
    const [name = '', tag = ''] = pauseImage.split(':')
    return { repository: name, tag, archive: await this.#save(pauseImage, 'pause') }
  }

  async #save(name: string, file: string): Promise<string> {
    const archive = join(directory, 'images', `${file}.tar`)
    mkdirSync(join(directory, 'images'), { recursive: true })
    rmSync(archive, { force: true })
    await this.#store.buildah('push', '--quiet', name, `docker-archive:${archive}:${name}`)
    return archive
  }
}
