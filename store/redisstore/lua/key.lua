-- key finds what was accepted under an idempotency key.
-- ARGV: mch_id, field of the key. Reply: now, notify_id and record; or now alone.
local gone = emptied()
if gone then return gone end
local id = redis.call('HGET', P .. 'k:' .. ARGV[2], ARGV[3])
local raw = id and redis.call('GET', P .. 'n:' .. id)
if not raw then return {now} end
return {now, id, raw}
