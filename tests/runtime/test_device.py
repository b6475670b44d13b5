"""What a module's cycles went to: added up, and by name."""

from weft_hardware.isa import Queue
from weft_hardware.registers import Activity
from weft_runtime.device import activity_names, add_activities


def test_activities_add_up_whatever_each_names():
    first = {Queue.LOAD: {Activity.BUSY: 3, Activity.IDLE: 1}}
    second = {Queue.LOAD: {Activity.BUSY: 4}, Queue.STORE: {Activity.MEMORY: 2}}
    total = add_activities([first, second])
    assert {(module, what): n for module, counts in total.items() for what, n in counts.items() if n} == {
        (Queue.LOAD, Activity.BUSY): 7,
        (Queue.LOAD, Activity.IDLE): 1,
        (Queue.STORE, Activity.MEMORY): 2,
    }
    assert all(set(total[module]) == set(Activity) for module in Queue)


def test_names():
    assert activity_names({Queue.STORE: {Activity.TOKEN: 5}}) == {"store": {"token": 5}}
