-- One commit. ARGV[1]: the job as JSON (redis_commit.py); the others: bytes it refers to by place.
-- Everything is checked before anything is written: a script is not undone. Answers {'done',
-- revision, sequence and kid of each put}, {'refused', index, existing id}, {'reseal', ids…},
-- {'again'}, {'gone'} or {'newer'}.
local wrong = not_ours()
if wrong then
  return wrong
end
local job = cjson.decode(ARGV[1])

-- A record of the journal that is there has had its commit: the same words came twice.
if job.journal then
  local head = call('HGET', P .. ':head', job.journal[1])
  if head and tonumber(string.match(head, '^%d+')) >= job.journal[2] then
    return {'again'}
  end
end

local known = {}
local function row(id)
  local found = known[id]
  if found == nil then
    found = false
    local stored = call('HMGET', P .. ':i:' .. id, 'f', 'x')
    if stored[1] then
      local sequence, revision, state, kind, size, kid =
        string.match(stored[1], '^(%d+) (%d+) (%S+) (%S+) (%d+) (%S*)$')
      found = {
        sequence = tonumber(sequence), revision = tonumber(revision), state = state, kind = kind,
        size = tonumber(size), kid = kid, x = stored[2],
      }
    end
    known[id] = found
  end
  return found
end

-- Each: nil when it holds, else the id that is in the way, '' for none.
local demands = {}

function demands.absent(id)
  return row(id) and id or nil
end

function demands.revision(id, revision)
  local old = row(id)
  if old and old.revision == revision then
    return nil
  end
  return old and id or ''
end

function demands.below(counter, limit)
  if tonumber(call('HGET', META, counter) or 0) < limit then
    return nil
  end
  return ''
end

function demands.line(key, size, ids)
  local found = first(P .. key, size)
  if #found ~= #ids then
    return ''
  end
  for at, id in ipairs(ids) do
    if id_of(found[at]) ~= id then
      return ''
    end
  end
  return nil
end

function demands.unique(key, by_sequence, since, till)
  return marked(P .. key, by_sequence, since, till, 1)[1]
end

for index, demand in ipairs(job.expect) do
  local existing = demands[demand[1]](demand[2], demand[3], demand[4], demand[5])
  if existing then
    return {'refused', index - 1, existing}
  end
end

-- What the puts imply, each on what the ones before it make of its row.
local before, reseal = {}, {}
local sequence = tonumber(call('HGET', META, 'sequence'))
for at, put in ipairs(job.puts) do
  local index = #job.expect + at - 1
  local old = row(put.id)
  if put.insert then
    if put.adopting and not call('ZSCORE', P .. ':inbox', put.id) then
      return {'refused', index, put.id}
    end
    if old then
      return {'refused', index, put.id}
    end
    sequence = sequence + 1
  elseif not old or old.revision ~= put.revision then
    return {'refused', index, old and put.id or ''}
  end
  local kid = put.kid
  if old then
    if kid == '' then
      kid = old.kid
    elseif old.kid ~= '' and old.kid ~= kid and not put.resealed then
      reseal[#reseal + 1] = put.id
    end
  end
  before[at] = old
  known[put.id] = {
    sequence = old and old.sequence or sequence, revision = old and old.revision + 1 or 1,
    state = put.state, kind = put.kind, size = tonumber(put.size), kid = kid, x = ARGV[put.x],
  }
  put.row = known[put.id]
end
if #reseal > 0 then
  table.insert(reseal, 1, 'reseal')
  return reseal
end

-- From here on everything is written. ---------------------------------------------------------

local counts = {}
local function count(name, by)
  local sum = (counts[name] or 0) + by
  if sum > 4503599627370496 or sum < -4503599627370496 then
    call('HINCRBY', META, name, text(sum))
    sum = 0
  end
  counts[name] = sum
end

local function count_row(item, by)
  count('state:' .. item.state, by)
  if OPEN[item.state] then
    count('open', by)
    count('bytes', by * item.size)
    count('open:' .. item.kind, by)
    count('bytes:' .. item.kind, by * item.size)
  end
end

-- An index entry is [key] (score: the sequence), [key, score] or [key, score, end of the member];
-- one whose key is an attachment's is not of an index but says that the row refers to it.
local function attachment_of(key)
  return string.match(key, '^:a:(.*)$')
end

local function enter(entry, item, id)
  local attachment = attachment_of(entry[1])
  if attachment then
    return refer(attachment, id)
  end
  local place = text(item.sequence)
  local member = string.format('%016.0f', item.sequence) .. id .. (entry[3] or '')
  local score = entry[2]
  if not score or score == '' then
    score = place
  end
  call('ZADD', P .. entry[1], score, member)
end

local function leave(entry, item, id)
  local attachment = attachment_of(entry[1])
  if attachment then
    return unrefer(attachment, id)
  end
  local member = string.format('%016.0f', item.sequence) .. id .. (entry[3] or '')
  call('ZREM', P .. entry[1], member)
end

local function same(one, other)
  return other and one[2] == other[2] and one[3] == other[3]
end

local function index(old, new, id)
  if old and old.x == new.x then
    return
  end
  local was = {}
  if old then
    for _, entry in ipairs(cjson.decode(old.x)) do
      was[entry[1]] = entry
    end
  end
  local now = cjson.decode(new.x)
  local stays = {}
  for _, entry in ipairs(now) do
    stays[entry[1]] = entry
  end
  for key, entry in pairs(was) do
    if not stays[key] or stays[key][3] ~= entry[3] then
      leave(entry, old, id)
    end
  end
  for _, entry in ipairs(now) do
    if not same(entry, was[entry[1]]) then
      enter(entry, new, id)
    end
  end
end

local answer = {'done', 0}
for at, put in ipairs(job.puts) do
  local old, new = before[at], put.row
  local key = P .. ':i:' .. put.id
  local words = {
    'HSET', key, 'f',
    text(new.sequence) .. ' ' .. text(new.revision) .. ' ' .. new.state .. ' ' .. new.kind .. ' '
      .. put.size .. ' ' .. new.kid,
    'x', new.x, 'c', ARGV[put.c],
  }
  local gone = {}
  for part, place in pairs(put.parts) do
    if place == 0 then
      gone[#gone + 1] = part
    else
      words[#words + 1] = part
      words[#words + 1] = ARGV[place]
    end
  end
  call(unpack(words))
  if old and #gone > 0 then
    call('HDEL', key, unpack(gone))
  end
  if old then
    if old.state ~= new.state or old.size ~= new.size or old.kind ~= new.kind then
      count_row(old, -1)
      count_row(new, 1)
    end
  else
    count_row(new, 1)
  end
  index(old, new, put.id)
  answer[#answer + 1] = new.sequence
  answer[#answer + 1] = new.kid
end
if #job.puts > 0 then
  call('HSET', META, 'sequence', text(sequence))
end

for _, id in ipairs(job.drop) do
  local old = row(id)
  if old then
    call('UNLINK', P .. ':i:' .. id)
    for _, entry in ipairs(cjson.decode(old.x)) do
      leave(entry, old, id)
      local attachment = attachment_of(entry[1])
      if attachment and call('EXISTS', P .. ':a:' .. attachment) == 0 then
        drop_blobs(attachment)
      end
    end
    count_row(old, -1)
    count('removed', 1)
    known[id] = false
  end
end

for _, id in ipairs(job.adopt) do
  if call('ZREM', P .. ':inbox', id) == 1 then
    local uses = call('HGET', P .. ':c:' .. id, 'uses')
    for _, attachment in ipairs(cjson.decode(uses)) do
      unrefer(attachment, ':' .. id)
    end
    call('DEL', P .. ':c:' .. id)
    count('inbox', -1)
  end
end

for _, attachment in ipairs(job.drop_blobs) do
  drop_blobs(attachment)
end

for _, record in ipairs(job.side) do
  local key = P .. ':side:' .. record[1]
  if record[3] == 0 then
    call('HDEL', key, record[2])
  else
    call('HSET', key, record[2], ARGV[record[3]])
  end
end

if job.journal then
  local writer, k, hash, place = unpack(job.journal)
  local n = text(call('HINCRBY', META, 'journal', 1))
  call('XADD', P .. ':journal', n .. '-0', 'w', writer, 'k', text(k), 'h', hash, 't', ARGV[place])
  call('HSET', P .. ':head', writer, text(k) .. ' ' .. hash)
  call('ZADD', P .. ':heads', n, writer)
  call('ZREMRANGEBYRANK', P .. ':heads', 0, -1 - HEADS_MAX)
end

for name, by in pairs(counts) do
  call('HINCRBY', META, name, text(by))
end
answer[2] = call('HINCRBY', META, 'revision', 1)
return answer
