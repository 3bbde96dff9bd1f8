-- ranks gives what stands at some ranks of sorted sets.
-- ARGV: 2 what: i = members, s = scores; then for each range of ranks: the set, the first rank, the last one.
-- Reply: now, then what was asked for, in that order.
local gone = emptied()
if gone then return gone end
local scores, out, n = ARGV[2] == 's', {now}, 1
local step = scores and 2 or 1
for i = 3, #ARGV, 3 do
  local key, from, to, got = P .. ARGV[i], ARGV[i + 1], ARGV[i + 2], nil
  if scores then
    got = redis.call('ZRANGE', key, from, to, 'WITHSCORES')
  else
    got = redis.call('ZRANGE', key, from, to)
  end
  for k = step, #got, step do
    n = n + 1
    out[n] = got[k]
  end
end
return out
