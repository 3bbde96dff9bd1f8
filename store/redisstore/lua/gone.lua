-- gone notes the name of a merchant that another store had deleted, so that its notifications have a lane.
-- ARGV: mch_id.
local mch = ARGV[2]
if redis.call('EXISTS', P .. 'l:' .. mch) == 0 then
  local ended = emptied()
  if ended then return ended end
  redis.call('HSET', P .. 'l:' .. mch, 'rv', 1, 'dl', 1)
  redis.call('ZADD', P .. 'gone', 0, mch)
end
return {now}
