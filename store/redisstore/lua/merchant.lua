-- merchant writes or deletes a merchant, if it is still at the revision that the change was computed from.
-- ARGV: mch_id, revision expected (0 = there never was one), whether it is expected to be deleted, then
-- either nothing (delete) or: merchant, revision, max_inflight, rate, paused, until, blocked, whether to close
-- the breaker.
-- Reply: now and 1; or now, 0 (changed meanwhile); or now, 2 (something is owed to it).
local mch = ARGV[2]
local L = lane(mch)
if not L then
  local gone = emptied()
  if gone then return gone end
end
if (L and L.rv or 0) ~= tonumber(ARGV[3]) or (L ~= nil and L.dl) ~= (ARGV[4] == '1') then return {now, 0} end

if #ARGV == 4 then
  local owed = L.wt + inflight(L)
  for part in string.gmatch(L.pt, '(0%w%w),') do
    owed = owed + redis.call('ZCARD', P .. 't:' .. mch .. ':' .. part)
  end
  if owed > 0 then return {now, 2} end
  redis.call('HDEL', P .. 'm', mch)
  redis.call('ZREM', P .. 'names', mch)
  redis.call('ZADD', P .. 'gone', 0, mch)
  put(L, 'dl', true, '1')
  put(L, 'fr', '0', '0')
  look_at(L, NEVER)
  save(L)
  return {now, 1}
end

redis.call('HSET', P .. 'm', mch, ARGV[5])
redis.call('HSET', P .. 'l:' .. mch, 'rv', ARGV[6], 'mx', ARGV[7], 'rt', ARGV[8], 'pz', ARGV[9],
  'un', ARGV[10], 'bl', ARGV[11], 'dl', 0)
if ARGV[12] == '1' then redis.call('HDEL', P .. 'l:' .. mch, 'br') end
redis.call('ZADD', P .. 'names', 0, mch)
redis.call('ZREM', P .. 'gone', mch)
local rate = L and L.rt or 0
L = lane(mch)
put(L, 'fr', free(L), free(L))
if rate <= 0 and L.rt > 0 then -- a fresh limit starts with a full bucket
  put(L, 'tk', math.max(1, L.rt), string.format('%.6f', math.max(1, L.rt)))
  put(L, 'ta', now)
end
look(L, now)
save(L)
return {now, 1}
