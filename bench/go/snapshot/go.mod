module vmsnapshot.io/bench/snapshot

go 1.26
