-- old finds final notifications that were accepted before given instants, lane by lane, in each lane the
-- oldest first. Whether they are old enough their records say.
-- ARGV: 2 place where to go on, see lanes_after: empty = with the first lane
--       3 notify_id up to which this lane was looked at already, empty = whole: go on behind it
--       4 for spent ones: microsecond of acceptance to stay below, 0 = none of them
--       5 the same for shrunk ones              6 the same for all other final ones
--       7 how many at most
-- Reply: now, place and notify_id to go on with (empty place = that was all), then notify_id, mch_id and
-- partition of each. Deleted merchants of which nothing is left are forgotten, if all kinds were asked for.
local gone = emptied()
if gone then return gone end
local place, behind, most = ARGV[2], ARGV[3], tonumber(ARGV[7])
local spent, shrunk, other = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local till = {['1'] = spent, ['2'] = other, ['3'] = other, ['4'] = other, ['5'] = shrunk}
local out, given, work = {now, '', ''}, 0, 0

-- forget drops what is kept for a deleted merchant of which nothing is left. Its revision stays: should it be
-- created again, it goes on from there.
local function forget(L)
  for part in parts(L) do
    if redis.call('EXISTS', key_of(L, part)) == 1 then return end
  end
  for _, kind in ipairs({'k:', 'b:', 'c:', 'd0:', 'd1:', 'd2:'}) do
    redis.call('UNLINK', P .. kind .. L.mch)
  end
  redis.call('ZREM', P .. 'gone', L.mch)
  redis.call('ZREM', P .. 'lanes', L.mch)
  local key = P .. 'l:' .. L.mch
  local revision = redis.call('HGET', key, 'rv')
  redis.call('DEL', key)
  redis.call('HSET', key, 'rv', revision, 'dl', 1)
end

-- oldest adds the oldest of a partition, at most most of them, that are behind a notify_id.
local function oldest(some, L, part, behind, stay, most)
  local from, added, at = 0, 0, behind == '' and 0 or tonumber(string.sub(behind, 1, 10), 36)
  repeat
    local got = redis.call('ZRANGEBYSCORE', key_of(L, part), int(at), '(' .. int(stay), 'LIMIT', from, most)
    for _, id in ipairs(got) do
      if id > behind then
        some[#some + 1] = {id = id, part = part}
        added = added + 1
      end
    end
    from, work = from + #got, work + 1 + #got
  until #got < most or added >= most
  return added >= most
end

-- visit looks at one lane; it returns the notify_id to go on behind when it is not done with it.
local function visit(L, behind)
  local some, room, full = {}, most - given, false
  for part in parts(L) do
    local stay = till[string.sub(part, 1, 1)] or 0
    if stay > 0 and oldest(some, L, part, behind, stay, room) then full = true end
  end
  table.sort(some, function(a, b) return a.id < b.id end)
  for i = 1, math.min(#some, room) do
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = some[i].id, L.mch, some[i].part
  end
  given = given + math.min(#some, room)
  if full or #some > room then return some[room].id end
end

local some, more = lanes_after(place)
if behind ~= '' then table.insert(some, 1, place) end
for i, name in ipairs(some) do
  local L = view(string.sub(name, 2))
  work = work + 1
  local rest = visit(L, i == 1 and behind or '')
  if rest then
    out[2], out[3] = name, rest
    break
  end
  if L.dl and spent > 0 and shrunk > 0 and other > 0 then forget(L) end
  if i < #some and (work >= WORK or given >= most) or i == #some and more then
    out[2] = name
    break
  end
end
return out
