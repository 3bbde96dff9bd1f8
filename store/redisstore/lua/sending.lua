-- sending turns the switch of a shard, and has every lane with something waiting looked at when it opens.
-- ARGV: 1 = stopped, store.Sending as JSON.
redis.call('SET', P .. 'sending', ARGV[3])
if ARGV[2] == '1' then
  redis.call('SET', P .. 'stop', 1)
  return {now}
end
redis.call('DEL', P .. 'stop')
for _, mch in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do
  local L = lane(mch)
  if L and L.wt > 0 then
    look(L, now)
    save(L)
  end
end
return {now}
