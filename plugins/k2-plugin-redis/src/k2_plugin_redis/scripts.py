"""The three Lua scripts: each is one atomic step and one round trip, and does nothing unless the owner is still the owner.

A partition has one hash, `meta`, and per slot of append time a set of members and a hash of pages. Every script compares
`token` (who owns it) and `version` (raised by every write) first. So a flush, an old dump, a failover to a replica that
lags, another owner, and a command that Redis finds in a socket long after its sender gave up are all seen, and write
nothing. Numbers beyond 2**53 are never computed here: Lua has doubles only; the owner sends what is to be stored.
"""

from __future__ import annotations

_GUARD = """
local seen = redis.call('HMGET', KEYS[1], 'token', 'version')
if seen[1] ~= ARGV[1] then return {seen[1] and 'taken' or 'lost'} end
if seen[2] ~= ARGV[2] then return {'lost'} end
"""

ASK = (
    _GUARD
    + """
-- ARGV: token, version, count of sets, count of blobs, (width, blob) ..., page fields ...
-- A key that should be there and is not was evicted by Redis itself.
if redis.call('EXISTS', unpack(KEYS)) ~= #KEYS then return {'lost'} end
local sets, blobs, at = tonumber(ARGV[3]), tonumber(ARGV[4]), 5
local found = {'ok'}
for _ = 1, blobs do
  local width, blob, answers = tonumber(ARGV[at]), ARGV[at + 1], {}
  at = at + 2
  for first = 1, #blob, 4000 * width do
    local members, hit = {}, {}
    for i = first, math.min(first + 4000 * width, #blob + 1) - 1, width do
      members[#members + 1] = string.sub(blob, i, i + width - 1)
    end
    for k = 2, 1 + sets do
      for i, is in ipairs(redis.call('SMISMEMBER', KEYS[k], unpack(members))) do
        if is == 1 then hit[i] = true end
      end
    end
    for i = 1, #members do answers[#answers + 1] = hit[i] and '1' or '0' end
  end
  found[#found + 1] = table.concat(answers)
end
for k = 2 + sets, #KEYS do
  for first = at, #ARGV, 4000 do
    for _, page in ipairs(redis.call('HMGET', KEYS[k], unpack(ARGV, first, math.min(first + 3999, #ARGV)))) do
      found[#found + 1] = page or ''
    end
  end
end
return found
"""
)

WRITE = (
    _GUARD
    + """
-- ARGV: token, version, count of keys that must be there (KEYS[2] on), count of fields to drop, fields ..., count of keys
-- to drop (behind those), length of (field, value) ..., these, then operations. What frees memory comes first; else the
-- first write is one that a full Redis refuses, so that it refuses all or nothing.
local old = tonumber(ARGV[3])
if redis.call('EXISTS', unpack(KEYS, 1, 1 + old)) ~= 1 + old then return {'lost'} end
local at = 5
for i = at, at + tonumber(ARGV[4]) - 1 do redis.call('HDEL', KEYS[1], ARGV[i]) end
at = at + tonumber(ARGV[4])
for k = 2 + old, 1 + old + tonumber(ARGV[at]) do redis.call('UNLINK', KEYS[k]) end
local fields = tonumber(ARGV[at + 1])
at = at + 2
for first = at, at + fields - 1, 4000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 3999, at + fields - 1)))
end
at = at + fields
while at <= #ARGV do
  local key = KEYS[tonumber(ARGV[at + 1])]
  if ARGV[at] == 'm' then  -- members: width, blob
    local width, blob = tonumber(ARGV[at + 2]), ARGV[at + 3]
    for first = 1, #blob, 4000 * width do
      local members = {}
      for i = first, math.min(first + 4000 * width, #blob + 1) - 1, width do
        members[#members + 1] = string.sub(blob, i, i + width - 1)
      end
      redis.call('SADD', key, unpack(members))
    end
    at = at + 4
  else  -- page: field, first byte, bits
    local field, start, bits = ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4]
    local old, stop = redis.call('HGET', key, field) or '', start + #bits
    if #old < stop then old = old .. string.rep('\\0', stop - #old) end
    local mine, more = {string.byte(old, start + 1, stop)}, {string.byte(bits, 1, -1)}
    for i = 1, #more do mine[i] = bit.bor(mine[i], more[i]) end
    redis.call('HSET', key, field, string.sub(old, 1, start) .. string.char(unpack(mine)) .. string.sub(old, stop + 1))
    at = at + 5
  end
end
return {'ok'}
"""
)

TAKE = """
-- ARGV: token and version as they were seen (empty: none), whether to clear, (field, value) ...
-- KEYS[2] on: the partition's slots, which go with a clearing and must all be there without one.
local seen = redis.call('HMGET', KEYS[1], 'token', 'version')
if (seen[1] or '') ~= ARGV[1] or (seen[2] or '') ~= ARGV[2] then return {'changed'} end
if ARGV[3] == '0' and redis.call('EXISTS', unpack(KEYS)) ~= #KEYS then return {'lost'} end
redis.call('HSET', KEYS[1], 'token', '')
if ARGV[3] == '1' then redis.call('UNLINK', unpack(KEYS)) end
for first = 4, #ARGV, 4000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 3999, #ARGV)))
end
return {'ok'}
"""
