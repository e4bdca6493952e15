import torch
from torch import nn

from mnv2_dense.ops.norms import measure_norms, set_statistics


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 5, 1), nn.BatchNorm2d(5)
    )
    for norm in (network[1], network[4]):
        nn.init.uniform_(norm.get_parameter("weight"), 0.5, 2)
        nn.init.normal_(norm.get_parameter("bias"))
    return network.eval()


def test_evaluation_computes_what_it_did_and_training_the_same() -> None:
    network, images = make_network(), torch.randn(4, 3, 16, 16) * 3 + 1
    before = network(images)
    with torch.no_grad():
        assert (network.train()(images) - before).abs().max() > 0.5
    network = make_network()
    with measure_norms(network), torch.no_grad():
        network(images[:1])
        network(images[1:])
    torch.testing.assert_close(network(images), before, rtol=1e-4, atol=1e-4)
    # In training the batch's own statistics are used, which are now those that were measured.
    torch.testing.assert_close(network.train()(images), before, rtol=1e-3, atol=1e-3)


def test_statistics_are_those_of_the_data() -> None:
    network, images = make_network(), torch.randn(4, 3, 16, 16)
    with measure_norms(network), torch.no_grad():
        network(images)
        seen = network[0](images)
    mean, variance = network[1].get_buffer("running_mean"), network[1].get_buffer("running_var")
    torch.testing.assert_close(mean, seen.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(variance, seen.var(dim=(0, 2, 3), correction=0))


def test_a_norm_that_sees_nothing_stays_as_it_was() -> None:
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with measure_norms(network):
        pass
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_channel_without_variance_keeps_its_output() -> None:
    norm = nn.BatchNorm2d(2).eval()
    images = torch.tensor([[[[3.0]], [[-1.0]]]])
    before = norm(images)
    set_statistics(norm, torch.tensor([3.0, -1.0]).double(), torch.zeros(2).double())
    torch.testing.assert_close(norm(images), before)
