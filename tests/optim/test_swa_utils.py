"""Averages of weights. Numbers of PyTorch: `test_trajectories.py`."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.optim import SGD, swa_utils
from minidl.optim.swa_utils import SWALR, AveragedModel, update_bn
from minidl.testing import to_numpy


def model(device="cpu"):
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(device)


def fill(net, value):
    with minidl.no_grad():
        for t in [*net.parameters(), *net.buffers()]:
            t.fill_(value)


def updated(values, device="cpu", **options):
    """The averaged model after the values 2, 4, 9 in every parameter and buffer."""
    net = model(device)
    averaged = AveragedModel(net, **options)
    for value in values:
        fill(net, value)
        averaged.update_parameters(net)
    return averaged


def weights(averaged):
    found = {v for p in averaged.parameters() for v in to_numpy(p.detach()).ravel().tolist()}
    assert len(found) == 1
    return found.pop()


def test_the_mean_of_all_updates(device):
    averaged = updated([2, 4, 9], device)
    assert weights(averaged) == 5.0
    assert averaged.n_averaged.item() == 3
    assert averaged.module[1].running_mean.tolist() == [9, 9, 9]  # copied, not averaged
    assert averaged.module[1].num_batches_tracked.item() == 9


def test_buffers_may_be_averaged_too():
    averaged = updated([2, 4, 9], use_buffers=True)
    assert averaged.module[1].running_var.tolist() == [5, 5, 5]
    assert averaged.module[1].num_batches_tracked.item() == 5


@pytest.mark.parametrize("name", ["get_ema_avg_fn", "get_ema_multi_avg_fn"])
def test_the_exponential_mean(name):
    function = getattr(swa_utils, name)(0.5)
    averaged = updated([2, 4, 8], **{"multi_avg_fn" if "multi" in name else "avg_fn": function})
    assert weights(averaged) == 5.5


def test_users_functions():
    averaged = updated([2, 4, 8], avg_fn=lambda average, value, n: value - n)
    assert weights(averaged) == 6.0
    dtypes = []

    def keep_largest(averages, values, n):
        dtypes.append({t.dtype for t in averages + values})
        for average, value in zip(averages, values, strict=True):
            average.copy_(minidl.maximum(average, value))

    averaged = updated([2, 8, 4], multi_avg_fn=keep_largest, use_buffers=True)
    assert weights(averaged) == 8.0
    assert dtypes == [{minidl.float32}, {minidl.int64}] * 2


def test_the_model_is_a_copy_and_its_state_has_pytorchs_names():
    net = model()
    averaged = AveragedModel(net)
    assert list(averaged.state_dict())[:3] == ["n_averaged", "module.0.weight", "module.0.bias"]
    assert averaged.module[0].weight is not net[0].weight
    x = minidl.randn(4, 2)
    np.testing.assert_array_equal(to_numpy(averaged(x).detach()), to_numpy(net(x).detach()))
    other = AveragedModel(model())
    other.load_state_dict(updated([2, 4, 9]).state_dict())
    fill(net, 9)
    other.update_parameters(net)
    assert weights(other) == 6.0
    assert all(p.requires_grad for p in averaged.parameters())


def test_update_bn(device):
    net = model(device)
    net[1].momentum = 0.25
    net.eval()
    batches = [minidl.randn(8, 2, device=device) for _ in range(4)]
    update_bn([(batch, None) for batch in batches], net, device)
    hidden = [to_numpy(net[0](batch).detach()) for batch in batches]
    mean = np.mean([h.mean(0) for h in hidden], axis=0)
    var = np.mean([h.var(0, ddof=1) for h in hidden], axis=0)
    np.testing.assert_allclose(to_numpy(net[1].running_mean), mean, atol=1e-6)
    np.testing.assert_allclose(to_numpy(net[1].running_var), var, rtol=1e-5)
    assert net[1].momentum == 0.25
    assert not net.training
    assert all(p.grad is None for p in net.parameters())


def test_update_bn_without_batch_norm_reads_no_data():
    update_bn(iter(lambda: pytest.fail("read"), None), nn.Linear(2, 2))


def test_swalr_takes_over_from_another_schedule():
    optimizer = SGD([minidl.ones(1, requires_grad=True)], lr=1.0)
    schedule = SWALR(optimizer, swa_lr=0.1, anneal_epochs=3, anneal_strategy="linear")
    rates = []
    for _ in range(5):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    np.testing.assert_allclose(rates, [0.7, 0.4, 0.1, 0.1, 0.1])


def test_refusals():
    optimizer = SGD([minidl.ones(1, requires_grad=True)], lr=1.0)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        AveragedModel(model(), avg_fn=max, multi_avg_fn=max)
    with pytest.raises(ValueError, match=r"Invalid decay value 1\.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="one of 'cos' or 'linear', instead got sine"):
        SWALR(optimizer, 0.1, anneal_strategy="sine")
    with pytest.raises(ValueError, match="equal or greater than 0, got -1"):
        SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr has 2 values, param_groups has 1"):
        SWALR(optimizer, [0.1, 0.2])
