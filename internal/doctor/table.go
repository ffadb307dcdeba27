package doctor

import (
	"time"
)

// counting bounds the checks that count the jobs of a large ledger.
const counting = 10 * time.Second

// table has all checks, in the order in which they are made.
var table = []check{
	{name: "settings.tokens", looks: "whether a token is needed to sign in, and can be guessed", group: ofSettings, look: (*visit).tokens},
	{name: "settings.tls", looks: "databases and Redis on other machines that are reached without TLS", group: ofSettings, look: (*visit).tls},
	{name: "settings.folder", looks: "whether other users can look into the folder of a SQLite ledger", group: ofSettings, look: (*visit).folder},

	{name: "redis", looks: "whether Redis answers, and has read its data", group: ofRedis, gate: true, look: (*visit).redis},
	{name: "redis.version", looks: "Redis 6.2 or newer, or Valkey", group: ofRedis, look: (*visit).redisVersion},
	{name: "redis.role", looks: "a master that stands alone: no replica, no Sentinel, no part of a Cluster", group: ofRedis, look: (*visit).redisRole},
	{name: "redis.persistence", looks: "whether tasks are kept on disk", group: ofRedis, look: (*visit).redisPersistence},
	{name: "redis.work", looks: "whether Redis does what evalq needs: a script that writes, on keys that it removes, and a message on a channel", group: ofRedis, look: (*visit).redisWork},
	{name: "redis.writes", looks: "whether the last writes to that disk went well, or Redis refuses more", group: ofRedis, look: (*visit).redisWrites},
	{name: "redis.eviction", looks: "`maxmemory-policy noeviction`", group: ofRedis, look: (*visit).redisEviction},
	{name: "redis.memory", looks: "how near its memory is to `maxmemory`", group: ofRedis, look: (*visit).redisMemory},
	{name: "redis.clock", looks: "this machine's clock against that of Redis", group: ofRedis, look: (*visit).redisClock},
	{name: "queues.epoch", looks: "whether the queues in this Redis belong to this ledger", group: ofRedis, look: (*visit).queuesEpoch},
	{name: "queues.foreign", looks: "tasks of other ledgers and of plain producers, in a sample of 1,000 a queue", group: ofRedis, look: (*visit).queuesForeign},
	{name: "queues.others", looks: "queues beside those of evalq", group: ofRedis, when: notAtStart, look: (*visit).queuesOthers},
	{name: "queues.archive", looks: "how near a queue's archive is to the 10,000 tasks that Asynq keeps", group: ofRedis, look: (*visit).queuesArchive},
	{name: "queues.messages", looks: "what package mq has set aside, and whether it found room", group: ofRedis, look: (*visit).messagesSetAside},
	{name: "queues.paused", looks: "queues that are paused", group: ofRedis, look: (*visit).queuesPaused},

	{name: "ledger", looks: "whether the database answers", group: ofLedger, gate: true, look: (*visit).ledger},
	{name: "ledger.version", looks: "PostgreSQL 12, MySQL 8.0 or MariaDB 10.6, or newer", group: ofLedger, look: (*visit).ledgerVersion},
	{name: "ledger.schema", looks: "whether the schema is this program's", group: ofLedger, look: (*visit).ledgerSchema},
	{name: "ledger.writable", looks: "whether it can commit", group: ofLedger, look: (*visit).ledgerWritable},
	{name: "ledger.durability", looks: "whether a commit is on disk before its answer", group: ofLedger, look: (*visit).ledgerDurability},
	{name: "ledger.settings", looks: "settings of the database that have it refuse what evalq writes: `max_allowed_packet`, `binlog_format`, the encoding", group: ofLedger, look: (*visit).ledgerSettings},
	{name: "ledger.connections", looks: "how near the database is to its limit of connections", group: ofLedger, look: (*visit).ledgerConnections},
	{name: "ledger.disk", looks: "room on the disk of a SQLite ledger, and the size of its log of writes", group: ofLedger, look: (*visit).ledgerDisk},
	{name: "ledger.clock", looks: "this machine's clock against that of the database", group: ofLedger, look: (*visit).ledgerClock},
	{name: "ledger.backup", looks: "reminds of backups", group: ofLedger, when: notAtStart, look: (*visit).ledgerBackup},
	{name: "ledger.integrity", looks: "every page of a SQLite ledger", group: ofLedger, when: onlyDeep, within: 5 * time.Minute, look: (*visit).ledgerIntegrity},
	{name: "quarantine", looks: "what came in and could not be read", group: ofLedger, look: (*visit).quarantine},
	{name: "bridge", looks: "what is still published on the old Pub/Sub channels, and whether a bridge hears it", group: ofLedger, when: notAtStart, look: (*visit).bridge},
	{name: "jobs.dead", looks: "jobs that were given up", group: ofLedger, when: notAtStart, within: counting, look: (*visit).jobsDead},
	{name: "workers", looks: "whether somebody works where jobs wait", group: ofLedger, when: notAtStart, within: counting, look: (*visit).workersAtWork},
	{name: "workers.beats", looks: "workers that have shown no sign of life for 10 s", group: ofLedger, when: notAtStart, within: counting, look: (*visit).workersBeats},
	{name: "workers.kinds", looks: "jobs of kinds that no worker has a handler for", group: ofLedger, when: notAtStart, within: counting, look: (*visit).workersKinds},
	{name: "workers.builds", looks: "workers of different builds", group: ofLedger, when: notAtStart, within: counting, look: (*visit).workersBuilds},
	{name: "relay", looks: "whether a relay leads, watched for 5 s", group: ofLedger, when: onlyDeep, within: 15 * time.Second, look: (*visit).relayLeads},

	{name: "platform", looks: "whether the platform's database answers and has the tables and columns that are used", group: ofPlatform, look: (*visit).platform},
}
