module vmsnapshot.io/bench/walk

go 1.26

require vmsnapshot.io/bench/snapshot v0.0.0

replace vmsnapshot.io/bench/snapshot => ../snapshot
