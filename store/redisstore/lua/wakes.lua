-- wakes names lanes that have work now and that nobody is awake for, and marks them awake. It also hands out
-- the records of claims whose lease ran out.
-- ARGV: how many lanes at most, default cap, how many lost claims at most.
-- Reply: now, when to look again (0 = not before something happens), lanes, lost claims (notify_id, record, …),
-- how many of the lanes were marked awake and never run.
local most, default, room = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local SECOND = 1000000
local halted, names, lost, asleep = stopped(), {}, {}, 0

-- expired collects the lost claims of a lane, and says when there may be more. Somebody settles them as
-- interrupted; should he die, they are looked at again in a second.
local function expired(L)
  local ids = redis.call('ZRANGEBYSCORE', P .. 'c:' .. L.mch, '-inf', int(now), 'LIMIT', 0, room)
  for _, id in ipairs(ids) do
    local raw = redis.call('GET', P .. 'n:' .. id)
    if raw then
      room = room - 1
      lost[#lost + 1], lost[#lost + 2] = id, raw
    else
      redis.call('ZREM', P .. 'c:' .. L.mch, id)
    end
  end
  if room <= 0 then return now end
  local key, after = P .. 'c:' .. L.mch, '(' .. int(now)
  local head = redis.call('ZRANGEBYSCORE', key, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local live = head[2] and tonumber(head[2]) or NEVER
  return #ids > 0 and math.min(live, now + SECOND) or live
end

-- visit decides about one lane. One with work that is one too many is left for the next call.
local function visit(L)
  local lease = expired(L)
  local at = NEVER
  if not halted then at = wake_at(L, default) end
  if at <= now then
    if #names >= most then return end
    names[#names + 1] = L.mch
    if L.aw > 0 then asleep = asleep + 1 end
    put(L, 'aw', now + AWAKE)
    at = L.aw
  end
  look_at(L, math.min(at, lease))
  save(L)
end

for _, mch in ipairs(redis.call('ZRANGEBYSCORE', P .. 'lanes', '-inf', int(now), 'LIMIT', 0, most + 64)) do
  local L = lane(mch)
  if not L then
    redis.call('ZREM', P .. 'lanes', mch)
  else
    visit(L)
  end
end
local next_at = first(P .. 'lanes')
return {now, next_at < NEVER and next_at or 0, names, lost, asleep}
