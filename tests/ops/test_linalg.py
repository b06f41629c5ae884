"""Linear algebra: what the records do not say. Their samples are well-behaved; these are not."""

import numpy as np
import pytest

import minidl
from minidl import linalg
from minidl.testing import assert_close, gradcheck, to_numpy

pytestmark = pytest.mark.smoke
SINGULAR = [[1.0, 2.0], [2.0, 4.0]]


def tensor(data, device, requires_grad=False):
    t = minidl.tensor(data, dtype=minidl.float64, device=device)
    return t.requires_grad_(requires_grad)


def random(*shape, device, requires_grad=False):
    return tensor(np.random.default_rng(0).standard_normal(shape), device, requires_grad)


def test_results_have_names(device):
    x = random(3, 3, device=device)
    x = x @ x.mT + linalg.matrix_power(x, 0)
    named = {
        "slogdet": (linalg.slogdet, "sign logabsdet"),
        "qr": (linalg.qr, "Q R"),
        "svd": (linalg.svd, "U S Vh"),
        "torch.svd": (minidl.svd, "U S V"),
        "eigh": (linalg.eigh, "eigenvalues eigenvectors"),
        "lu": (linalg.lu, "P L U"),
        "lu_factor": (linalg.lu_factor, "LU pivots"),
        "lu_factor_ex": (linalg.lu_factor_ex, "LU pivots info"),
        "inv_ex": (linalg.inv_ex, "inverse info"),
        "cholesky_ex": (linalg.cholesky_ex, "L info"),
        "solve_ex": (lambda x: linalg.solve_ex(x, x), "result info"),
        "lstsq": (lambda x: linalg.lstsq(x, x), "solution residuals rank singular_values"),
        "geqrf": (minidl.geqrf, "a tau"),
        "triangular_solve": (lambda x: x.triangular_solve(x), "solution cloned_coefficient"),
    }
    for function, names in named.values():
        assert " ".join(function(x)._fields) == names


def test_the_parts_multiply_to_the_whole(device):
    for shape in [(3, 3), (5, 3), (2, 3, 5), (0, 3), (3, 0), (0, 2, 2)]:
        x = random(*shape, device=device)
        m, n = shape[-2:]
        u, s, vh = linalg.svd(x)
        assert u.shape[-2:] == (m, m) and vh.shape[-2:] == (n, n)
        k = min(m, n)
        assert_close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, rtol=0, atol=1e-12)
        for mode in ("reduced", "complete"):
            q, r = linalg.qr(x, mode)
            assert q.shape[-1] == (k if mode == "reduced" else m)
            assert_close(q @ r, x, rtol=0, atol=1e-12)
        p, lower, upper = linalg.lu(x)
        assert_close(p @ lower @ upper, x, rtol=0, atol=1e-12)


def test_large_matrices(device):
    """Halves of halves: the recursions go deeper here than in the records."""
    x = random(2, 37, 37, device=device)
    b = random(2, 37, 5, device=device)
    packed, pivots = linalg.lu_factor(x)
    assert pivots.dtype == minidl.int32
    assert_close(x @ linalg.lu_solve(packed, pivots, b), b, rtol=0, atol=1e-9)
    upper = x.triu() + 5 * linalg.matrix_power(x, 0)
    assert_close(upper @ linalg.solve_triangular(upper, b, upper=True), b, rtol=0, atol=1e-9)
    assert_close(
        linalg.matrix_exp(x) @ linalg.matrix_exp(-x), linalg.matrix_power(x, 0), rtol=0, atol=1e-6
    )


def test_one_singular_matrix_of_a_batch(device):
    x = tensor([SINGULAR, [[2.0, 0.0], [0.0, 4.0]]], device, requires_grad=True)
    inverse, info = linalg.inv_ex(x)
    assert info.tolist() == [2, 0]
    assert to_numpy(inverse[0].isnan()).all()
    assert inverse[1].tolist() == [[0.5, 0.0], [0.0, 0.25]]
    grad = minidl.autograd.grad(inverse[1].sum(), x)[0]
    assert grad[0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    result, info = linalg.solve_ex(x, x)
    assert info.tolist() == [2, 0]
    assert result[1].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    for call in (linalg.inv, linalg.lu_factor, lambda x: linalg.solve(x, x)):
        with pytest.raises(linalg.LinAlgError):
            call(x)


def test_not_positive_definite(device):
    good = [[4.0, 2.0], [2.0, 5.0]]
    factor, info = linalg.cholesky_ex(tensor([good, SINGULAR, [[-1.0, 0.0], [0.0, 1.0]]], device))
    assert info.tolist()[0] == 0 and info.tolist()[2] == 1
    assert factor[0].tolist() == [[2.0, 0.0], [1.0, 2.0]]
    assert to_numpy(factor[2].isnan()).all()
    with pytest.raises(linalg.LinAlgError, match="positive definite"):
        linalg.cholesky_ex(-tensor(good, device), check_errors=True)


@pytest.mark.parametrize(
    "matrix", [SINGULAR, [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.0]]]
)
def test_the_gradient_of_a_determinant_of_0_is_the_cofactors(matrix, device):
    """PyTorch gives 0."""
    x = tensor(matrix, device, requires_grad=True)
    linalg.det(x).backward()
    a = np.array(matrix)
    cofactors = [[a[1, 1], -a[1, 0]], [-a[0, 1], a[0, 0]]] if len(a) == 2 else [[1.0]]
    assert_close(x.grad, np.array(cofactors), rtol=0, atol=1e-14)


def test_a_singular_matrix_has_slogdet(device):
    sign, logarithm = linalg.slogdet(tensor(SINGULAR, device))
    assert (sign.item(), logarithm.item()) == (0.0, -np.inf)
    assert linalg.cond(tensor(SINGULAR, device), 1).item() == np.inf


def test_pinv_of_lower_rank(device):
    """The derivative is that of matrices of the same rank."""
    a, b = (random(4, 2, device=device) + i for i in range(2))
    x = a @ b.mT
    assert linalg.matrix_rank(x).item() == 2
    assert_close(linalg.pinv(x), np.linalg.pinv(to_numpy(x)), rtol=0, atol=1e-12)
    a, b = a.requires_grad_(), b.requires_grad_()
    assert gradcheck(lambda a, b: linalg.pinv(a @ b.mT), (a, b))


@pytest.mark.parametrize("name", ["svd", "pinv"])
def test_nan_is_refused(name, device):
    with pytest.raises(linalg.LinAlgError, match=rf"{name}: .*nan"):
        getattr(linalg, name)(tensor([[np.nan, 1.0], [1.0, 2.0]], device))


def test_tolerances(device):
    x = tensor([[1.0, 0.0], [0.0, 1e-3]], device)
    ranks = [
        linalg.matrix_rank(x, rtol=0, atol=1e-2),
        linalg.matrix_rank(x, rtol=1e-4),
        linalg.matrix_rank(x, 1e-2),
        linalg.matrix_rank(x[None], rtol=tensor([1e-2], device), hermitian=True)[0],
    ]
    assert [rank.item() for rank in ranks] == [1, 2, 1, 1]
    assert linalg.pinv(x, rtol=1e-2).tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_lstsq_says_what_its_driver_says(device):
    a, b = random(5, 2, device=device), random(5, 3, device=device)
    found = {driver: linalg.lstsq(a, b, driver=driver) for driver in ("gels", "gelsd", "gelsy")}
    assert found["gels"].rank.shape == (0,) and found["gelsy"].rank.item() == 2
    assert found["gelsd"].singular_values.shape == (2,)
    residuals = ((a @ found["gels"].solution - b) ** 2).sum(0)
    assert_close(found["gels"].residuals, residuals)
    assert found["gelsy"].residuals.shape == (0,)


def test_the_changed_result_of_a_decomposition_does_no_harm(device):
    """Rules work on what the forward kept, not on the tensors that it returned."""
    x = random(3, 3, device=device, requires_grad=True)
    expected = minidl.autograd.grad(linalg.svdvals(x).sum(), x)[0]
    u, s, _ = linalg.svd(x)
    with minidl.no_grad():
        u.zero_()
    assert_close(minidl.autograd.grad(s.sum(), x)[0], expected)


def test_products_in_place(device):
    y, a, b = (random(2, 2, device=device) for _ in range(3))
    expected = 0.5 * y - (a @ b)
    assert y.addmm_(a, b, beta=0.5, alpha=-1) is y
    assert_close(y, expected)
    with pytest.raises(minidl.DTypeError, match="addmm"):
        y.addmm_(a.float(), b.float())


def test_beta_0_does_not_read_its_input(device):
    y = tensor([[np.nan, np.inf]], device, requires_grad=True)
    a, b = random(1, 3, device=device), random(3, 2, device=device)
    out = minidl.addmm(y, a, b, beta=0)
    assert_close(out, a @ b)
    assert minidl.autograd.grad(out.sum(), y)[0].tolist() == [[0.0, 0.0]]


def test_the_chain_is_multiplied_in_the_best_order(device):
    """(a b) c needs 10 * 30 * 5 + 10 * 5 * 60 multiplications, a (b c) six times as many."""
    from minidl.ops.products import _best_splits

    assert _best_splits([10, 30, 5, 60])[0, 2] == 1
    assert _best_splits([60, 5, 30, 10])[0, 2] == 0


def test_a_letter_twice_is_a_diagonal(device):
    x = random(3, 2, 3, device=device, requires_grad=True)
    for equation in ("iji->j", "iji->ij", "iji"):
        assert_close(minidl.einsum(equation, x), np.einsum(equation, to_numpy(x.detach())))
        assert gradcheck(lambda x, e=equation: minidl.einsum(e, x), (x,))
    with pytest.raises(minidl.ShapeError, match="two sizes"):
        minidl.einsum("ii", x[0])


def test_norms(device):
    x = random(2, 3, 4, device=device)
    a = to_numpy(x)
    assert_close(minidl.norm(x[0], "nuc"), np.linalg.norm(a[0], "nuc"))
    assert_close(linalg.norm(x[0], 2), np.linalg.norm(a[0], 2))
    assert_close(linalg.norm(x), np.linalg.norm(a))
    assert_close(linalg.matrix_norm(x, 1, (0, -1)), np.linalg.norm(a, 1, (0, 2)))
    assert linalg.matrix_norm(x, "nuc", (0, -1), keepdim=True).shape == (1, 3, 1)
    assert linalg.vector_norm(tensor([0.0, 3.0], device), 0).item() == 1.0


def test_what_is_not_there(device):
    for name, hint in (("eig", "complex.*eigh"), ("choleski", "cholesky")):
        with pytest.raises(AttributeError, match=hint):
            getattr(linalg, name)
