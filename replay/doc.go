// Package replay has many notifications sent again on a person's behalf.
//
// A replay is a job that outlives the process that began it. All of it stands in one mark of the store: what
// was asked for, how far the list of what matches was read, which notifications are under way, what became of
// the others, and who works on it until when. It is written before anything is asked for, and changed by
// compare-and-set alone, so that a crash at any point, another process or somebody who cancels cannot make a
// notification go twice or not at all: whoever goes on finds in the record of a notification whether it was
// asked for.
//
// Nothing is sent here. A Runner asks the store for one send each (store.Store.Resend), no more at once than
// the lanes can take, and looks what became of it.
//
// Start reading at Job, then at Runner.Run and worker.step.
package replay
