// The first step of every npm script, in plain JavaScript so that an old Node can run it: the sources need Node 24 (type stripping).
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `Node ${process.versions.node} is too old, Node 24 or newer is needed.\n` +
      'npm installs one beside the project: run `npm ci` (without --ignore-scripts, or no Node 24 is put in place) and start again through npm.',
  )
  process.exit(1)
}
