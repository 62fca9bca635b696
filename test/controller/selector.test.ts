import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LabelSelector, type Labels, selects } from '../../src/controller/selector.ts'

const labels: Labels = { zone: 'a', disk: '' }
const expression = (operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', key: string, ...values: readonly string[]) =>
  ({ matchExpressions: [{ key, operator, ...(values.length === 0 ? {} : { values: [...values] }) }] }) as LabelSelector

describe('selects()', () => {
  test.each<[string, LabelSelector, boolean]>([
    ['the empty selector', {}, true],
    ['empty parts', { matchLabels: {}, matchExpressions: [] }, true],
    ['a label', { matchLabels: { zone: 'a' } }, true],
    ['a label with another value', { matchLabels: { zone: 'b' } }, false],
    ['a label that is absent', { matchLabels: { rack: 'a' } }, false],
    ['an empty value', { matchLabels: { disk: '' } }, true],
    ['an empty value of a label that is absent', { matchLabels: { rack: '' } }, false],
    ['one label of two', { matchLabels: { zone: 'a', disk: 'x' } }, false],
    ['In', expression('In', 'zone', 'b', 'a'), true],
    ['In without the value', expression('In', 'zone', 'b'), false],
    ['In on a key that is absent', expression('In', 'rack', 'a'), false],
    ['NotIn', expression('NotIn', 'zone', 'b'), true],
    ['NotIn with the value', expression('NotIn', 'zone', 'a'), false],
    ['NotIn on a key that is absent', expression('NotIn', 'rack', 'a'), true],
    ['Exists', expression('Exists', 'disk'), true],
    ['Exists on a key that is absent', expression('Exists', 'rack'), false],
    ['DoesNotExist', expression('DoesNotExist', 'rack'), true],
    ['DoesNotExist on a key that is there', expression('DoesNotExist', 'zone'), false],
    ['a key that every object of the language has', expression('Exists', 'constructor'), false],
    ['labels and expressions', { matchLabels: { zone: 'a' }, ...expression('NotIn', 'zone', 'a') }, false],
  ])('%s', (_, selector, matches) => {
    expect(selects(selector, labels)).toBe(matches)
  })

  test('a node without labels meets what asks for absence', () => {
    expect(selects(expression('NotIn', 'zone', 'a'), undefined)).toBe(true)
    expect(selects(expression('Exists', 'zone'), undefined)).toBe(false)
  })

  const word = fc.constantFrom('a', 'b', 'c', '')
  const someLabels = fc.dictionary(fc.constantFrom('x', 'y', 'z'), word)
  const requirement = fc.record({ key: fc.constantFrom('x', 'y', 'z'), values: fc.array(word, { minLength: 1 }) })

  test('NotIn is what In is not, DoesNotExist what Exists is not', () => {
    fc.assert(
      fc.property(someLabels, requirement, (some, { key, values }) => {
        expect(selects(expression('NotIn', key, ...values), some)).toBe(
          !selects(expression('In', key, ...values), some),
        )
        expect(selects(expression('DoesNotExist', key), some)).toBe(!selects(expression('Exists', key), some))
      }),
    )
  })

  test('matchLabels says the same as In with one value', () => {
    fc.assert(
      fc.property(someLabels, someLabels, (some, matchLabels) => {
        const each = Object.entries(matchLabels).every(([key, value]) => selects(expression('In', key, value), some))
        expect(selects({ matchLabels }, some)).toBe(each)
      }),
    )
  })
})
