-- field changes one field of a small hash, if it is still what the change was computed from.
-- ARGV: hash, field, what is expected there, what is to be there (empty = nothing), how many fields the hash may
-- have (0 = any number), a field that goes when a new one finds it full (empty = none).
-- Reply: now and 1; or now, 0 (something else is there); or now, 2 (it is full).
local gone = emptied()
if gone then return gone end
local hash, field, was, value, most = P .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if (redis.call('HGET', hash, field) or '') ~= was then return {now, 0} end
if value == '' then
  redis.call('HDEL', hash, field)
  return {now, 1}
end
if was == '' and most > 0 and redis.call('HLEN', hash) >= most then
  if ARGV[7] == '' or redis.call('HDEL', hash, ARGV[7]) == 0 then return {now, 2} end
end
redis.call('HSET', hash, field, value)
return {now, 1}
