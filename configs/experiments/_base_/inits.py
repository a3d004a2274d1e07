# What patches start from. The seven images without a face are those of scikit-image
# (pip install '.[embedded]'); the faces are three of the validation set.
# No import statement: mmengine 0.10.7 takes those of frozen modules, as os is from
# Python 3.11 on, for a sign of another kind of config.
# Two underscores keep an object that is no value out of the config.
__skimage = __import__('importlib.util').util.find_spec('skimage')
_folder = (
    f'{__skimage.submodule_search_locations[0]}/data/' if __skimage else 'skimage/'
)
inits = dict(
    noise=dict(type='noise', seed=0),
    coffee=dict(type='image', path=_folder + 'coffee.png'),
    rocket=dict(type='image', path=_folder + 'rocket.jpg'),
    motorcycle=dict(type='image', path=_folder + 'motorcycle_left.png'),
    cat=dict(type='image', path=_folder + 'chelsea.png'),
    galaxies=dict(type='image', path=_folder + 'hubble_deep_field.jpg'),
    retina=dict(type='image', path=_folder + 'retina.jpg'),
    tissue=dict(type='image', path=_folder + 'ihc.png'),
)
faces = dict(
    face_a=('0--Parade/0_Parade_Parade_0_545', 0),
    face_b=('0--Parade/0_Parade_Parade_0_829', 0),
    face_c=('0--Parade/0_Parade_Parade_0_468', 0),
)
for _name, (_img_id, _face) in faces.items():
    inits[_name] = dict(
        type='face',
        img_id=_img_id,
        face=_face,
        dataset=dict(
            type='WiderFaceDataset',
            data_root='data/WIDERFace/',
            test_mode=True,
            ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
            data_prefix=dict(img='WIDER_val/images/'),
            image_list='val_subset.txt',
        ),
    )
