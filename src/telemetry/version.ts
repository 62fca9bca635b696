// The version of this program, as package.json has it; a test holds the two together. A bundle has no package.json beside it.
export const version = '0.1.0'
