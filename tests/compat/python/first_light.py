"""Drive the official Python client (pypegasus3, unmodified) against a cluster.

usage: first_light.py META_ADDRESS TABLE COUNT
Prints one JSON line with what succeeded; exits 0 only if everything did.
"""
import json
import sys

from pypegasus.pgclient import Pegasus
from pypegasus.base.ttypes import error_types
from twisted.internet import defer, reactor

OK = error_types.ERR_OK.value
NOT_FOUND = error_types.ERR_OBJECT_NOT_FOUND.value

done = {}
failures = []


def expect(name, got, wanted):
    if got == wanted:
        done[name] = done.get(name, 0) + 1
    else:
        failures.append('%s: got %r, expected %r' % (name, got, wanted))


@defer.inlineCallbacks
def operations(client):
    hk = b'python'
    code, _ = yield client.set(hk, b'a', b'1')
    expect('set', code, OK)
    result = yield client.get(hk, b'a')
    expect('get', result, (OK, b'1'))
    code, _ = yield client.exist(hk, b'a')
    expect('exist', code, OK)
    result = yield client.ttl(hk, b'a')
    expect('ttl', result, (OK, -1))
    code, _ = yield client.set(hk, b'short', b'x', 100)
    expect('set with ttl', code, OK)
    code, left = yield client.ttl(hk, b'short')
    expect('ttl of a record that expires', (code, 98 <= left <= 100), (OK, True))
    code, _ = yield client.remove(hk, b'a')
    expect('remove', code, OK)
    code, _ = yield client.get(hk, b'a')
    expect('get after remove', code, NOT_FOUND)
    code, _ = yield client.exist(hk, b'a')
    expect('exist after remove', code, NOT_FOUND)

    hk = b'python-multi'
    # The client turns sort keys and values of its multi operations into text: give it text.
    kvs = {'k%03d' % i: 'v%d' % i for i in range(50)}
    code, _ = yield client.multi_set(hk, kvs)
    expect('multi_set', code, OK)
    code, found = yield client.multi_get(hk, None)
    expect('multi_get', (code, {k.decode(): v.decode() for k, v in found.items()}), (OK, kvs))
    result = yield client.sort_key_count(hk)
    expect('sort_key_count', result, (OK, 50))
    code, keys = yield client.get_sort_keys(hk)
    expect('get_sort_keys', (code, len(keys)), (OK, 50))
    code, count = yield client.multi_del(hk, {'k000', 'k001', 'missing'})
    expect('multi_del', (code, count), (OK, 3))
    result = yield client.sort_key_count(hk)
    expect('sort_key_count after multi_del', result, (OK, 48))


@defer.inlineCallbacks
def bulk(client, count):
    """Write COUNT values of 1 KB, 64 at a time, then read all of them back."""
    def value(i):
        return (b'%08d' % i) * 128

    def key(i):
        return b'bulk%d' % (i % 100), b'%d' % i

    for start in range(0, count, 64):
        batch = range(start, min(start + 64, count))
        results = yield defer.gatherResults([client.set(*key(i), value(i)) for i in batch])
        for code, _ in results:
            expect('bulk set', code, OK)
    for start in range(0, count, 64):
        batch = range(start, min(start + 64, count))
        results = yield defer.gatherResults([client.get(*key(i)) for i in batch])
        for i, (code, got) in zip(batch, results):
            expect('bulk get', (code, bytes(got)) == (OK, value(i)), True)


@defer.inlineCallbacks
def main(address, table, count):
    try:
        client = Pegasus([address], table, 10000)
        started = yield client.init()
        expect('init', bool(started), True)
        yield operations(client)
        yield bulk(client, count)
        client.close()
    except Exception as error:  # everything counts as a failure of the test, with its text
        failures.append('exception: %r' % error)
    finally:
        print(json.dumps({'succeeded': done, 'failures': failures[:20]}))
        reactor.stop()


if __name__ == '__main__':
    reactor.callWhenRunning(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
    reactor.run()
    sys.exit(1 if failures else 0)
