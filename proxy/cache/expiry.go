package cache

import "time"

// queue holds the entries that may be kept for one length of time, in the order in which they came. Those at its head
// expire first, so that the sweep finds what has expired without looking at the rest. There are as many queues as the
// mounts have different bounds.
type queue struct{ head, tail *item }

func (c *Cache) enqueueLocked(it *item) {
	q := c.queues[it.keep]
	if q == nil {
		q = &queue{}
		c.queues[it.keep] = q
	}
	if it.older = q.tail; it.older != nil {
		it.older.newer = it
	} else {
		q.head = it
	}
	q.tail = it
}

func (c *Cache) dequeueLocked(it *item) {
	q := c.queues[it.keep]
	if it.older != nil {
		it.older.newer = it.newer
	} else {
		q.head = it.newer
	}
	if it.newer != nil {
		it.newer.older = it.older
	} else {
		q.tail = it.older
	}
	it.older, it.newer = nil, nil
	if q.head == nil {
		delete(c.queues, it.keep)
	}
}

// sweepLocked wipes what has expired. An entry stands behind those that came before it, whose reads may have started
// later by no more than a read can take: it waits no longer than that, or than the age that it came with.
func (c *Cache) sweepLocked(now instant) {
	for keep := range c.queues {
		c.sweepQueueLocked(keep, now)
	}
}

func (c *Cache) sweepQueueLocked(keep time.Duration, now instant) {
	for q := c.queues[keep]; q.head != nil && q.head.age(now) >= keep; {
		c.removeLocked(q.head)
	}
}
