import { expect, test } from 'vitest'
import { Slots } from '../../src/kube/slots.ts'

test('slots are handed on in the order that they were asked for, and none is lost to who gave up waiting', async () => {
  const slots = new Slots(1)
  await slots.take()
  const order: string[] = []
  const leaving = new AbortController()
  const first = slots.take().then(() => order.push('first'))
  const second = slots.take(leaving.signal)
  const third = slots.take().then(() => order.push('third'))
  leaving.abort(new Error('no longer'))
  await expect(second).rejects.toThrow('no longer')
  slots.give()
  await first
  slots.give()
  await third
  expect(order).toEqual(['first', 'third'])
  slots.give()
  await slots.take(leaving.signal).catch((error) => order.push(error.message))
  await slots.take()
  expect(order).toEqual(['first', 'third', 'no longer'])
})
