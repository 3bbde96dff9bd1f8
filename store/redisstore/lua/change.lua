-- change replaces a record, if its front is still the one that the change was computed from, and moves it in
-- every index. Go computes what a record becomes (package store's state machine); here is no rule of it.
-- ARGV:  2 mch_id        3 notify_id      4 front expected    5 new front and header
--        6 where the body begins          7 attempts          8 how many      9 number of the last one
--       10 old partition 11 new partition 12 created         13 1 = the claim ends
--       14 how the attempt ended: a = acked, f = failed by timeout or connection, r = answered and no ack,
--          o = otherwise not acked, empty = says nothing  15 1 = tell whether the lane is ready
--       16 default cap; and only where one of these is not empty:
--       17 old due class 18 new due class 19 due             20 held for its own address: + or -
--       21, 22 next send, old and new, as counted in snd     23 merchant to write, now held
--       24 at which revision
-- Reply: now, 1, 1 if the lane is ready and was marked awake, 1 if its breaker opened or closed; or now, 0 and
-- the record as it is, if any.
local mch, id = ARGV[2], ARGV[3]
local key, lane_key = P .. 'n:' .. id, P .. 'l:' .. mch
local raw = redis.call('GET', key)
if not raw then return cold().emptied() or {now, 0} end
if string.sub(raw, 1, 19) ~= ARGV[4] then return {now, 0, raw} end

redis.call('SET', key, ARGV[5] .. string.sub(raw, tonumber(ARGV[6])) .. ARGV[7])
for n = ARGV[9] - ARGV[8] + 1, tonumber(ARGV[9]) do
  redis.call('XADD', P .. 'log', 'MAXLEN', '~', 100000, '*', 'i', id, 'n', n)
end
if ARGV[13] == '1' then redis.call('ZREM', P .. 'c:' .. mch, id) end
local from, to = ARGV[10], ARGV[11]
if from ~= to then redis.call('ZREM', P .. 't:' .. mch .. ':' .. from, id) end

local how, failing = ARGV[14], ''
if how ~= '' then failing = how == 'a' and '0' or '1' end
if not ARGV[17] and how ~= 'f' then -- an attempt that ended, and nothing waits for it
  local v = redis.call('HMGET', lane_key, 'wt', 'fa', 'pt', 'br')
  if (not v[1] or v[1] == '0') and (v[4] or '') == '' and string.find(v[3] or '', to .. ',', 1, true) then
    if from ~= to then redis.call('ZADD', P .. 't:' .. mch .. ':' .. to, ARGV[12], id) end
    if failing ~= '' and failing ~= v[2] then redis.call('HSET', lane_key, 'fa', failing) end
    return {now, 1, 0, 0}
  end
end

local H = cold()
local L = H.lane(mch)
if not L then return H.emptied() or redis.error_reply('ERR the lane of ' .. id .. ' is gone') end
if from ~= to then H.list(L, to, id, ARGV[12]) end
if failing ~= '' and failing ~= L.fa then H.put(L, 'fa', failing, failing) end
local turned = 0
if how == 'f' or L.br ~= '' and (how == 'a' or how == 'r') then
  local K = H.breaking()
  local open = K.open(L)
  K.judge(L, id, how == 'f' and 'failed' or how == 'a' and 'acked' or 'answered')
  if open ~= K.open(L) then turned = 1 end
end
local class, due = '', NEVER
if ARGV[17] then
  class, due = ARGV[18], ARGV[18] ~= '' and tonumber(ARGV[19]) or NEVER
  if ARGV[17] ~= '' and ARGV[17] ~= class then H.unwait(L, ARGV[17], id) end
  if class ~= '' then H.wait(L, class, id, ARGV[19]) end
  if ARGV[20] == '+' then redis.call('ZADD', P .. 'b:' .. mch, ARGV[12], id) end
  if ARGV[20] == '-' then redis.call('ZREM', P .. 'b:' .. mch, id) end
  if ARGV[21] ~= '' then redis.call('HINCRBY', P .. 'snd', ARGV[21], -1) end
  if ARGV[22] ~= '' then redis.call('HINCRBY', P .. 'snd', ARGV[22], 1) end
  if ARGV[23] ~= '' and L.rv == tonumber(ARGV[24]) then
    redis.call('HSET', P .. 'm', mch, ARGV[23])
    H.put(L, 'bl', true, '1')
    H.put(L, 'fr', '0', '0')
    H.put(L, 'rv', L.rv + 1)
  end
end

local ready = 0
if L.wt > 0 then
  if ARGV[15] == '1' and not L.bl and not H.stopped() then
    local at = H.wake_at(L, tonumber(ARGV[16]))
    if at <= now then
      ready = 1
      H.put(L, 'aw', now + AWAKE)
      at = L.aw
    end
    H.look(L, at)
  elseif ARGV[13] == '1' then
    H.look(L, math.max(now, L.aw))
  else
    H.look(L, math.max(due, L.aw))
  end
end
H.save(L)
return {now, 1, ready, turned}
