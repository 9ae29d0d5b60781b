"""Where DMER lies on disk: layouts, subjects, labels."""

import numpy as np
import pytest
from dmer_fixture import ratings, refusal, write_merged
from scipy.io import savemat

from mpcl_jax.data.dmer.files import Layout, find_subjects, read_labels


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("1/datas.mat", "2/eegfea.mat"), "mixes layouts"),
        (("1/datas.mat", "2.mat"), "mixes layouts"),
        (("1/perifea.mat", "datas_all_fea_2.mat"), "mixes layouts"),
        (("1.mat", "01.mat"), "subject 1 more than once"),
        (("notes.txt", "1/readme.txt", "S2/eegfea.mat"), "holds no subject of DMER"),
    ],
)
def test_unusable_folders_are_refused(tmp_path, files, reason):
    touch(tmp_path, *files)
    text = refusal(find_subjects, tmp_path, ())
    assert str(tmp_path) in text and reason in text


def test_features_beside_subject_folders_are_only_a_place_for_labels(tmp_path):
    touch(tmp_path, "1/eegfea.mat", "1/datas.mat", "Features/1.mat")
    assert [(f.subject, f.path) for f in find_subjects(tmp_path, ())] == [("1", tmp_path / "1")]


def one_subject(root):
    (root / "4").mkdir()
    savemat(root / "4" / "eegfea.mat", {"feas": 0.0})
    return find_subjects(root, ())[0]


def test_labels_are_taken_from_the_first_documented_place(tmp_path):
    found = one_subject(tmp_path)
    tables = {k: ratings(k) for k in range(4)}
    places = [
        tmp_path / "Features" / "4.mat",
        tmp_path / "4" / "ratings.mat",
        tmp_path / "4" / "datas.mat",
        tmp_path / "4" / "dis_label.mat",
    ]
    (tmp_path / "Features").mkdir()
    for k, place in enumerate(places):  # from the last place to the first
        savemat(place, {"dis_label": tables[k]})
        table, file = read_labels(found)
        assert file == place
        np.testing.assert_array_equal(table, tables[k])


def test_merged_file_without_labels_takes_them_from_the_subject_folder(tmp_path):
    write_merged(tmp_path / "Features" / "4.mat", None)
    found = find_subjects(tmp_path / "Features", ())[0]
    assert "dis_label" in refusal(read_labels, found)
    (tmp_path / "4").mkdir()
    savemat(tmp_path / "4" / "datas.mat", {"dis_label": ratings(4)})
    assert read_labels(found)[1] == tmp_path / "4" / "datas.mat"


def test_labels_of_a_merged_file_itself_come_first(tmp_path):
    write_merged(tmp_path / "any" / "4.mat", ratings(1))
    (tmp_path / "4").mkdir()
    savemat(tmp_path / "4" / "datas.mat", {"dis_label": ratings(2)})
    table, file = read_labels(find_subjects(tmp_path / "any", ())[0])
    assert file == tmp_path / "any" / "4.mat"
    np.testing.assert_array_equal(table, ratings(1))


def test_missing_labels_say_where_to_put_them(tmp_path):
    text = refusal(read_labels, one_subject(tmp_path))
    assert "subject 4" in text and "4/eegfea.mat" in text and "[32, 10]" in text
    assert str(tmp_path / "4" / "dis_label.mat") in text


def test_label_table_of_other_shape_is_refused(tmp_path):
    found = one_subject(tmp_path)
    savemat(tmp_path / "4" / "dis_label.mat", {"dis_label": ratings(0)[:28]})
    assert "(28, 10)" in refusal(read_labels, found)


def test_one_layout_of_a_mixed_folder_can_be_chosen(tmp_path):
    touch(tmp_path, "1/datas.mat", "2/eegfea.mat", "3/datas.mat", "3/videoFea.mat")
    assert "config.data.dmer.subjects" in refusal(find_subjects, tmp_path, ())
    assert {f.layout for f in find_subjects(tmp_path, (1, 3))} == {Layout.SIGNALS}


def test_folder_of_one_subject_says_to_give_its_parent(tmp_path):
    touch(tmp_path, "1/eegfea.mat")
    assert "give its parent" in refusal(find_subjects, tmp_path / "1", ())


def test_leading_zeros_do_not_make_another_subject(tmp_path):
    touch(tmp_path, "007/eegfea.mat", "10/eegfea.mat", "08/eegfea.mat")
    assert [f.subject for f in find_subjects(tmp_path, ())] == ["7", "8", "10"]
    assert find_subjects(tmp_path, (7,))[0].path == tmp_path / "007"
